// Command app is what chaos strikes: it works for as long as it is told, and writes down each start and each end of a request
// by the request's id.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

func main() {
	// Each line is one write in append mode: the processes of all environments share the file.
	journal, err := os.OpenFile(os.Getenv("CHAOS_JOURNAL"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := lambdapeer.ListenAndServe(app{journal}); err != nil {
		log.Fatal(err)
	}
}

type app struct{ journal io.Writer }

// ServeHTTP answers with the request's id and the length of its body, ms milliseconds after the body has come.
func (a app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if id == "" || err != nil {
		http.Error(w, "id, ms: required", http.StatusBadRequest)
		return
	}
	a.note("start", id)
	length, err := io.Copy(io.Discard, r.Body)
	if err == nil {
		err = pause(r, time.Duration(ms)*time.Millisecond)
	}
	if err != nil {
		a.note("left", id)
		return
	}
	a.note("end", id)
	fmt.Fprintf(w, "%s %d", id, length)
}

func (a app) note(what, id string) { _, _ = fmt.Fprintf(a.journal, "%s %s\n", what, id) }

var errLeft = errors.New("the client has left")

func pause(r *http.Request, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.Context().Done():
		return errLeft
	}
}
