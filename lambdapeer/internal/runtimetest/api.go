// Package runtimetest is Lambda's Runtime API and Extensions API for tests: invocations go in, their answers come out.
package runtimetest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ARN is the function's; it is invoked by the alias live.
const ARN = "arn:aws:lambda:eu-central-1:123456789012:function:web"

const patience = 15 * time.Second

// An Answer is how an invocation ended.
type Answer struct {
	ID    string
	Error bool // posted to /error, or broken off in the middle
	Body  string
	// Stream says that it came in pieces. Failure is how a broken one ends: the error's type.
	Stream  bool
	Failure string
}

// An API listens on loopback until its test ends.
type API struct {
	server   *httptest.Server
	events   chan event
	answers  chan Answer
	shutdown chan string
	// Registered receives the name of each extension that registers, Asked each call for an invocation.
	Registered chan string
	Asked      chan time.Time
	// Pieces receives what a streamed answer consists of, as it comes.
	Pieces chan string
	closed chan struct{}
}

type event struct {
	id       string
	deadline time.Time
	payload  string
}

// Start returns a running API.
func Start(t testing.TB) *API {
	a := &API{
		events: make(chan event, 16), answers: make(chan Answer, 16), shutdown: make(chan string, 1),
		Registered: make(chan string, 4), Asked: make(chan time.Time, 64), closed: make(chan struct{}), Pieces: make(chan string, 1024),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{how}", a.answer)
	mux.HandleFunc("POST /2020-01-01/extension/register", a.register)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", a.nextEvent)
	a.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		close(a.closed)
		a.server.Close()
	})
	return a
}

// Address is for AWS_LAMBDA_RUNTIME_API.
func (a *API) Address() string { return strings.TrimPrefix(a.server.URL, "http://") }

// Invoke hands out an invocation; a zero deadline gives none.
func (a *API) Invoke(id, payload string, deadline time.Time) {
	a.events <- event{id: id, deadline: deadline, payload: payload}
}

// Shutdown sends the extension's event.
func (a *API) Shutdown(reason string) { a.shutdown <- reason }

// Answer waits for the next answer.
func (a *API) Answer(t testing.TB) Answer {
	t.Helper()
	select {
	case answer := <-a.answers:
		return answer
	case <-time.After(patience):
		require.FailNow(t, "no answer")
		return Answer{}
	}
}

func (a *API) next(w http.ResponseWriter, r *http.Request) {
	a.Asked <- time.Now()
	select {
	case e := <-a.events:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", e.id)
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", ARN+":live")
		w.Header().Set("Lambda-Runtime-Trace-Id", "Root=1-0-"+e.id)
		if !e.deadline.IsZero() {
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(e.deadline.UnixMilli()))
		}
		_, _ = io.WriteString(w, e.payload)
	case <-r.Context().Done():
	case <-a.closed:
	}
}

func (a *API) answer(w http.ResponseWriter, r *http.Request) {
	var body strings.Builder
	for chunk := make([]byte, 1<<10); ; {
		n, err := r.Body.Read(chunk)
		body.Write(chunk[:n])
		if n > 0 && r.Header.Get("Lambda-Runtime-Function-Response-Mode") != "" {
			select {
			case a.Pieces <- string(chunk[:n]):
			default: // of a long answer the beginning will do
			}
		}
		if err != nil {
			break
		}
	}
	w.WriteHeader(http.StatusAccepted)
	failure := r.Trailer.Get("Lambda-Runtime-Function-Error-Type")
	a.answers <- Answer{
		ID: r.PathValue("id"), Error: r.PathValue("how") == "error" || failure != "", Body: body.String(),
		Stream: r.Header.Get("Lambda-Runtime-Function-Response-Mode") == "streaming", Failure: failure,
	}
}

func (a *API) register(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if wants := string(body); wants != `{"events":["SHUTDOWN"]}` && wants != `{"events":[]}` {
		http.Error(w, "unexpected events", http.StatusBadRequest)
		return
	}
	w.Header().Set("Lambda-Extension-Identifier", "ext-1")
	_, _ = io.WriteString(w, `{}`)
	a.Registered <- r.Header.Get("Lambda-Extension-Name")
}

func (a *API) nextEvent(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Lambda-Extension-Identifier") != "ext-1" {
		http.Error(w, "who?", http.StatusForbidden)
		return
	}
	select {
	case reason := <-a.shutdown:
		fmt.Fprintf(w, `{"eventType":"SHUTDOWN","shutdownReason":%q,"deadlineMs":%d}`, reason, time.Now().Add(2*time.Second).UnixMilli())
	case <-r.Context().Done():
	case <-a.closed:
	}
}
