package main

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// exitCode is how the process ends when a request asked for it.
const exitCode = 3

// abortAfter writes ?after= bytes and aborts the answer. With ?length=true the answer has promised more.
func abortAfter(w http.ResponseWriter, r *http.Request) {
	if half(w, r) {
		abort()
	}
}

// exitAfter does the same, but the whole process dies.
func (a *app) exitAfter(w http.ResponseWriter, r *http.Request) {
	if half(w, r) {
		a.exit(exitCode)
	}
}

// half begins an answer that must not become whole.
func half(w http.ResponseWriter, r *http.Request) bool {
	q := queryOf(r)
	after, length := q.whole("after", 0, 1<<30), q.flag("length")
	if q.failed(w) {
		return false
	}
	if length {
		w.Header().Set("Content-Length", strconv.FormatInt(after+1000, 10))
	}
	piece := make([]byte, after)
	contract.Fill(piece, 0)
	send(w, http.NewResponseController(w), piece)
	return true
}

// leaks is memory that nobody gives back.
type leaks struct {
	mu   sync.Mutex
	held [][]byte
}

// leak keeps ?mb= of memory for ever, and answers after ?ms=.
func (a *app) leak(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r)
	megabytes, d := q.whole("mb", 1, 1<<10), q.millis("ms", 0)
	if q.failed(w) || !pause(r, d) {
		return
	}
	piece := make([]byte, megabytes<<20)
	contract.Fill(piece, 0) // so that it is in memory
	a.leaks.mu.Lock()
	a.leaks.held = append(a.leaks.held, piece)
	a.leaks.mu.Unlock()
	hello(w, r)
}

// breaks makes every later request of this process fail.
func (a *app) breaks(w http.ResponseWriter, r *http.Request) {
	a.broken.Store(true)
	hello(w, r)
}
