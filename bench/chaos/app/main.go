// Command app is what chaos strikes: it works for as long as it is told, and writes down each start and each end of a request
// by the request's id. A request may ask for events or a WebSocket: then it says something all the time.
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

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
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
		w, err = a.work(w, r, time.Duration(ms)*time.Millisecond)
	}
	if err != nil {
		a.note("left", id)
		return
	}
	a.note("end", id)
	fmt.Fprintf(w, "%s %d", id, length)
	if socket, is := w.(*socket); is {
		_ = socket.Drop()
	}
}

// work works as the request asks, and returns where its answer goes.
func (a app) work(w http.ResponseWriter, r *http.Request, d time.Duration) (http.ResponseWriter, error) {
	switch {
	case r.Header.Get("Upgrade") != "":
		conn, err := websocket.Accept(w, r)
		if err != nil {
			return w, err
		}
		s := &socket{w, conn}
		return s, talk(r, s, d)
	case r.Header.Get("Accept") == "text/event-stream":
		w.Header().Set("Content-Type", "text/event-stream")
		return w, talk(r, w, d)
	default:
		return w, pause(r, d)
	}
}

// A socket writes messages.
type socket struct {
	http.ResponseWriter
	*websocket.Conn
}

// Write implements io.Writer.
func (s *socket) Write(message []byte) (int, error) {
	return len(message), s.Conn.Write(websocket.Text, message)
}

// talkEvery is how often a request that goes on says so.
const talkEvery = 100 * time.Millisecond

func talk(r *http.Request, w http.ResponseWriter, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if _, err := io.WriteString(w, "data: working\n\n"); err != nil {
			return err
		}
		_ = http.NewResponseController(w).Flush() // a message of a socket is on its way already
		if err := pause(r, talkEvery); err != nil {
			return err
		}
	}
	return nil
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
