// Command go is an ordinary Go web application that runs unchanged as a Lambda function: lambdapeer.ListenAndServe is
// all it knows of Lambda. Anywhere else it listens on $PORT.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

func main() {
	if err := lambdapeer.ListenAndServe(new(app).handler()); err != nil {
		log.Fatal(err)
	}
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", ready)
	mux.HandleFunc("/hello", a.counted(a.hello))
	mux.HandleFunc("/sleep", a.counted(a.sleep))
	mux.HandleFunc("/echo", a.counted(a.echo))
	mux.HandleFunc("/stream", a.counted(a.stream))
	return mux
}

// ready is the readiness check of whoever runs this as a plain server.
func ready(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func (a *app) hello(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, http.StatusOK, reply{Message: "Hello from Go"})
}

func (a *app) sleep(w http.ResponseWriter, r *http.Request) {
	ms, err := whole(r, "ms", 100, 60_000)
	if err != nil {
		a.answer(w, r, http.StatusBadRequest, reply{Error: err.Error()})
		return
	}
	if pause(r, ms) {
		a.answer(w, r, http.StatusOK, reply{SleptMS: ms})
	}
}

// echo sends the body back while it arrives: it may be larger than memory.
func (a *app) echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	if r.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 always is
	if _, err := io.Copy(w, r.Body); err != nil {
		panic(http.ErrAbortHandler) // a cut body must not look like a whole one
	}
}

// stream sends server-sent events.
func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	events, err1 := whole(r, "n", 5, 1000)
	ms, err2 := whole(r, "ms", 500, 60_000)
	for _, err := range []error{err1, err2} {
		if err != nil {
			a.answer(w, r, http.StatusBadRequest, reply{Error: err.Error()})
			return
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for event := 1; event <= events; event++ {
		if event > 1 && !pause(r, ms) {
			return
		}
		fmt.Fprintf(w, "data: %s\n\n", a.json(r, reply{Event: event}))
		_ = http.NewResponseController(w).Flush() // it fails when the client left, and then pause says so
	}
}

// pause waits, and reports false if the client left first.
func pause(r *http.Request, ms int) bool {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return true
	case <-r.Context().Done():
		return false
	}
}

// whole reads a query parameter that must be a whole number from 0 to most.
func whole(r *http.Request, name string, byDefault, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s: must be a whole number from 0 to %d, got %q", name, most, text)
	}
	return n, nil
}
