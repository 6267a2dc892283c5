package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// An app is one process. It lives over many invocations of its environment.
type app struct {
	environment string
	pid         string
	readyAt     time.Time
	exit        func(code int)
	journal     *journal
	grpc        *grpc.Server
	pool        pool
	serial      bool
	fails       bool
	dies        bool
	hangs       bool
	slower      time.Duration
	leaks       leaks
	turn        sync.Mutex // of requests, if serial

	broken      atomic.Bool // this process fails from now on
	inFlight    atomic.Int64
	maxInFlight atomic.Int64
}

func newApp(getenv func(string) string) (*app, error) {
	unready, err := millis(getenv, contract.ReadyAfterVariable)
	if err != nil {
		return nil, err
	}
	slower, err := millis(getenv, contract.SlowVariable)
	if err != nil {
		return nil, err
	}
	a := &app{
		environment: cmp.Or(getenv("AWS_LAMBDA_LOG_STREAM_NAME"), rand.Text()),
		pid:         strconv.Itoa(os.Getpid()),
		readyAt:     time.Now().Add(unready),
		exit:        os.Exit,
		serial:      getenv(contract.SerialVariable) == "1",
		fails:       getenv(contract.FailVariable) == "1",
		dies:        getenv(contract.DiesVariable) == "1",
		hangs:       getenv(contract.HangsVariable) == "1",
		slower:      slower,
		grpc:        grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20)),
	}
	contract.RegisterEcho(a.grpc)
	if a.journal, err = openJournal(getenv(contract.EventsVariable), a.environment); err != nil {
		return nil, fmt.Errorf("%s: %w", contract.EventsVariable, err)
	}
	return a, nil
}

func (a *app) close() {
	a.grpc.Stop()
	a.journal.close()
}

// routes are found by contract.RouteHeader or the first segment of the path, and nothing is redirected: //, %2F and dot segments after it arrive as
// they were sent.
func (a *app) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"hello":     hello,
		"sleep":     sleep,
		"stubborn":  stubborn,
		"inspect":   inspect,
		"in-flight": a.showInFlight,
		"events":    a.showEvents,

		"echo":          echo,
		"sha":           digest,
		"bytes":         generate,
		"upload-cancel": a.uploadCancel,

		"headers":     manyHeaders,
		"cookies":     cookies,
		"status":      anyStatus,
		"range":       ranges,
		"trailers":    trailers,
		"early-hints": earlyHints,
		"early-413":   early413,

		"sse":       sse,
		"cancelled": cancelled,
		"ws":        ws,
		"deaf":      deaf,

		"query": a.pool.query,
		"after": a.after,

		"abort": abortAfter,
		"exit":  a.exitAfter,
		"leak":  a.leak,
		"break": a.breaks,
	}
}

// told is the app's end of what the lambdapeer binary POSTs to it.
func (a *app) told(r *http.Request) bool {
	switch r.Header.Get("Lambda-Dispatch-Event") {
	case "freeze":
		a.freezes(r.Context())
	case "thaw":
		a.thaws(r.Context())
	default:
		return false
	}
	return true
}

func (a *app) freezes(context.Context) {
	a.pool.closeIdle()
	a.record(contract.FreezeKey, contract.Frozen, nil)
}

func (a *app) thaws(context.Context) { a.record(contract.FreezeKey, contract.Thawed, nil) }

func (a *app) handler() http.Handler {
	counted := a.watched(a.routed())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(contract.EnvironmentHeader, a.environment)
		w.Header().Set(contract.PidHeader, a.pid)
		if r.URL.Path == "/" && r.Header.Get(contract.RouteHeader) == "" { // not counted: the peer's readiness checks would look like requests
			a.ready(w)
			return
		}
		if r.URL.Path == contract.FreezePath && a.told(r) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if a.serial {
			a.turn.Lock()
			defer a.turn.Unlock()
		}
		if a.degraded(w, r) {
			return
		}
		counted.ServeHTTP(w, r)
	})
}

// degraded is what is wrong with a bad version of the app, or a broken process: it takes longer, it dies, it hangs, or it fails, and reports that it has.
func (a *app) degraded(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case a.dies:
		a.exit(exitCode)
		return true
	case a.hangs:
		if r.URL.Path == "/hello" {
			return false
		}
		<-r.Context().Done()
		return true
	case a.fails:
		http.Error(w, "this version fails", http.StatusInternalServerError)
		return true
	case a.broken.Load():
		http.Error(w, "this process fails", http.StatusInternalServerError)
		return true
	case a.slower > 0:
		return !pause(r, a.slower)
	}
	return false
}

func (a *app) routed() http.Handler {
	routes := a.routes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		first = cmp.Or(r.Header.Get(contract.RouteHeader), first)
		route, found := routes[first]
		switch {
		case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			a.grpc.ServeHTTP(w, r)
		case found:
			route(w, r)
		default:
			http.Error(w, "no such route: "+first, http.StatusNotFound)
		}
	})
}

func (a *app) ready(w http.ResponseWriter) {
	if time.Now().Before(a.readyAt) {
		http.Error(w, "not ready yet", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// watched counts a request while it is in flight, and records it: under InFlightKey, and under its own key if it has one.
func (a *app) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.begin()
		defer a.end()
		if key := r.URL.Query().Get("key"); key != "" && r.URL.Path != "/events" {
			defer a.follow(r.Context(), key)()
		}
		next.ServeHTTP(w, r)
	})
}

func (a *app) begin() {
	now := a.inFlight.Add(1)
	for highest := a.maxInFlight.Load(); now > highest; highest = a.maxInFlight.Load() {
		if a.maxInFlight.CompareAndSwap(highest, now) {
			break
		}
	}
	a.journal.write(contract.Event{Key: contract.InFlightKey, Name: contract.Started, InFlight: now})
}

func (a *app) end() {
	a.journal.write(contract.Event{Key: contract.InFlightKey, Name: contract.Finished, InFlight: a.inFlight.Load()})
	a.inFlight.Add(-1)
}

// follow records that a request started, and how it ended: exactly one of cancelled, aborted and finished. The returned
// function must be deferred.
func (a *app) follow(ctx context.Context, key string) func() {
	a.record(key, contract.Started, nil)
	stop := context.AfterFunc(ctx, func() { a.record(key, contract.Cancelled, context.Cause(ctx)) })
	return func() {
		failure := recover()
		if stop() {
			a.record(key, ending(ctx, failure), context.Cause(ctx))
		}
		if failure != nil {
			panic(failure)
		}
	}
}

// ending is how a request ended. A context that has ended may not have called its AfterFunc yet.
func ending(ctx context.Context, failure any) contract.Name {
	switch {
	case ctx.Err() != nil:
		return contract.Cancelled
	case failure != nil:
		return contract.Aborted
	default:
		return contract.Finished
	}
}

func (a *app) record(key string, name contract.Name, err error) {
	e := contract.Event{Key: key, Name: name, InFlight: a.inFlight.Load()}
	if err != nil {
		e.Detail = err.Error()
	}
	a.journal.record(e)
}

func writeJSON(w http.ResponseWriter, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // it fails when the client left: nobody to tell
}

// abort ends an answer so that no client can take it for a whole one.
func abort() { panic(http.ErrAbortHandler) }
