package main

import (
	"io"
	"net/http"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "hello\n") // it fails when the client left: nobody to tell
}

// sleep answers after ?ms=.
func sleep(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r)
	d := q.millis("ms", 100)
	if q.failed(w) || !pause(r, d) {
		return
	}
	hello(w, r)
}

// after answers at once, works for ?ms= and then records under ?work= that it has finished.
func (a *app) after(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r)
	d, key := q.millis("ms", 1000), r.URL.Query().Get("work")
	if q.failed(w) {
		return
	}
	time.AfterFunc(d, func() { a.record(key, contract.Finished, nil) })
	hello(w, r)
}

// stubborn answers after ?ms=, and goes on if its client leaves: a handler that ignores its context.
func stubborn(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r)
	d := q.millis("ms", 100)
	if q.failed(w) {
		return
	}
	time.Sleep(d) // stands for work
	hello(w, r)
}

// cancelled waits until the client leaves, or half a minute. ?key= records which of them it was.
func cancelled(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush() // an answer that has begun, for clients that want to leave in its middle
	pause(r, 30*time.Second)
}

// inspect tells how the request looked.
func inspect(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		abort()
	}
	writeJSON(w, contract.Inspection{
		Method: r.Method, Host: r.Host, RequestURI: r.RequestURI, Proto: r.Proto,
		Header: r.Header, Trailer: r.Trailer, RemoteAddr: r.RemoteAddr, Length: r.ContentLength,
	})
}

func (a *app) showInFlight(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, contract.InFlight{Now: a.inFlight.Load(), Max: a.maxInFlight.Load()})
}

// showEvents answers what this process recorded under ?key=.
func (a *app) showEvents(w http.ResponseWriter, r *http.Request) {
	events, err := a.journal.byKey(r.URL.Query().Get("key"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, events)
}
