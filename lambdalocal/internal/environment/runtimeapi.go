package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// maxAnswer is Lambda's limit on the answer of an invocation, in bytes.
const maxAnswer = 6<<20 + 100

// handler serves the Runtime API and the Extensions API.
func (b *boot) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", b.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", b.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", b.invocationError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", b.initError)
	mux.HandleFunc("POST /2020-01-01/extension/register", b.register)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", b.nextEvent)
	mux.HandleFunc("POST /2020-01-01/extension/init/error", b.extensionError("Extension.InitError"))
	mux.HandleFunc("POST /2020-01-01/extension/exit/error", b.extensionError("Extension.ExitError"))
	return b.counted(mux)
}

// counted lets stop wait for the handlers.
func (b *boot) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		closed := b.closed
		if !closed {
			b.ended.Add(1)
		}
		b.mu.Unlock()
		if closed {
			refuse(w, http.StatusServiceUnavailable, "Sandbox.Closed", "the environment has ended")
			return
		}
		defer b.ended.Done()
		next.ServeHTTP(w, r)
	})
}

// next blocks until there is an invocation.
func (b *boot) next(w http.ResponseWriter, r *http.Request) {
	inv, err := b.take(r.Context())
	switch {
	case errors.Is(err, errTransition):
		refuse(w, http.StatusForbidden, "InvalidStateTransition", err.Error())
		return
	case err != nil: // the runtime has gone
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.ID)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", inv.ARN)
	h.Set("Lambda-Runtime-Trace-Id", inv.TraceID)
	if inv.ClientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", inv.ClientContext)
	}
	_, _ = w.Write(inv.Payload)
}

var errTransition = errors.New("state transition is not allowed: the invocation before has not been answered")

// take waits for an invocation that no other call has taken.
func (b *boot) take(ctx context.Context) (*invocation, error) {
	b.mu.Lock()
	if b.inv != nil && b.inv.delivered && b.inv.answer == nil {
		b.mu.Unlock()
		return nil, errTransition
	}
	b.waiting++
	b.wakeLocked()
	b.mu.Unlock()
	var inv *invocation
	err := b.wait(ctx, func() bool {
		if b.inv == nil || b.inv.delivered {
			return false
		}
		inv = b.inv
		inv.delivered = true
		b.waiting--
		return true
	})
	if err != nil {
		b.update(func() { b.waiting-- })
	}
	return inv, err
}

func (b *boot) response(w http.ResponseWriter, r *http.Request) {
	body, err := readAnswer(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		b.answer(w, r, http.StatusRequestEntityTooLarge, tooLargeAnswer())
	case err != nil: // the runtime died while it answered: no answer
	default:
		b.answer(w, r, http.StatusAccepted, &answer{body: body})
	}
}

func tooLargeAnswer() *answer {
	body, _ := json.Marshal(errorBody{
		Type:    "Function.ResponseSizeTooLarge",
		Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxAnswer),
	})
	return &answer{body: body, errorType: "Function.ResponseSizeTooLarge"}
}

func (b *boot) invocationError(w http.ResponseWriter, r *http.Request) {
	body, err := readAnswer(w, r)
	if err != nil {
		return
	}
	b.answer(w, r, http.StatusAccepted, &answer{body: body, errorType: errorType(r, "Lambda-Runtime-Function-Error-Type", "Runtime.Unknown")})
}

// answer records the runtime's answer, once per invocation.
func (b *boot) answer(w http.ResponseWriter, r *http.Request, code int, a *answer) {
	var known, first bool
	b.update(func() {
		known = b.inv != nil && b.inv.delivered && b.inv.ID == r.PathValue("id")
		first = known && b.inv.answer == nil
		if first {
			b.inv.answer = a
		}
	})
	switch {
	case !known:
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
	case !first:
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the invocation has been answered already")
	case code == http.StatusAccepted:
		accept(w)
	default:
		refuse(w, code, a.errorType, "the answer is too large")
	}
}

func (b *boot) initError(w http.ResponseWriter, r *http.Request) {
	body, err := readAnswer(w, r)
	if err != nil {
		return
	}
	kind := errorType(r, "Lambda-Runtime-Function-Error-Type", "Runtime.Unknown")
	if b.initOver() {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "init is over")
		return
	}
	accept(w)
	b.fail(&Failure{Outcome: InitFailed, Type: kind, Message: "init failed: " + string(body), Body: body})
}

func (b *boot) initOver() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready
}

func readAnswer(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
}

func errorType(r *http.Request, header, otherwise string) string {
	if kind := r.Header.Get(header); kind != "" {
		return kind
	}
	return otherwise
}

func accept(w http.ResponseWriter) {
	writeJSON(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func refuse(w http.ResponseWriter, code int, kind, message string) {
	writeJSON(w, code, errorBody{Type: kind, Message: message})
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
