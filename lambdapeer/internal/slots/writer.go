package slots

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/problem"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/serial"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// maxField is the longest name or value of a header field that Envoy takes over HTTP/2. A longer one ends the whole tunnel
// in Envoy's decoder, and with it every other request there. (Envoy's limit on the whole header ends one answer only.)
const maxField = 64 << 10

// writer is the app's http.ResponseWriter. It keeps the peer's own headers out of the app's answers, puts a 502 in the place
// of answers that would end the tunnel, and keeps the slot taken for as long as a hijacked connection lives.
type writer struct {
	http.ResponseWriter
	gate  *Gate
	http2 bool
	seen  *serial.Request
	ctx   context.Context // of the request
	again string          // where Envoy finds it again, if the app has not seen it; empty: nowhere
	leave func()          // ends the request's context

	status   int  // of the answer; 0: none was given yet
	cleaned  bool // the final header has been written
	replaced bool // the answer is the peer's, in place of the app's
	own      bool // the answer is the peer's, as its handler has said
	hijacked bool
	returned bool // the handler has, and has not panicked
}

// done runs when the handler has returned, and aborts the answer if its trailers would end the tunnel.
func (w *writer) done() {
	defer func() { w.seen.Ended(w.hijacked || w.ctx.Err() != nil) }()
	if w.hijacked {
		return
	}
	defer w.gate.release()
	if !w.returned && !w.cleaned {
		w.status = http.StatusInternalServerError // which nobody gets: net/http ends the request without an answer
	}
	w.clean() // net/http writes the header now, if nobody did
	if w.sanitize() {
		panic(http.ErrAbortHandler)
	}
}

func (w *writer) clean() {
	if w.cleaned {
		return
	}
	w.cleaned = true
	w.seen.Answered()
	if w.sanitize() {
		w.replace()
	}
	if w.ctx.Err() == nil { // a client that has left gets no answer
		w.gate.answered(w.status)
	}
}

// sanitize removes the fields that an app must not set, in any spelling: it may have indexed the map. It tells whether a field
// is too long to be sent.
func (w *writer) sanitize() (tooLong bool) {
	header := w.Header()
	for key, values := range header {
		if is(key, wire.RefusedHeader) || !w.own && is(key, wire.CauseHeader) || w.http2 && hopByHop(key) {
			delete(header, key)
			continue
		}
		tooLong = tooLong || w.http2 && (len(key) > maxField || slices.ContainsFunc(values, longer))
	}
	return tooLong
}

func is(key, name string) bool { return len(key) == len(name) && strings.EqualFold(key, name) }

// Own implements problem.Owner.
func (w *writer) Own() { w.own = true }

// Refuse implements problem.Owner. It is for requests without a body: the app may have begun to read one.
func (w *writer) Refuse() bool {
	if w.again == "" || w.cleaned {
		return false
	}
	w.cleaned, w.replaced, w.status = true, true, wire.RefusedStatus
	clear(w.Header())
	w.gate.redirect(w.ResponseWriter, w.again)
	return true
}

// hopByHop tells whether a field concerns one connection only. HTTP/2 forbids such fields, and Envoy takes an answer with one
// for malformed; handlers that were written for HTTP/1 set them.
func hopByHop(key string) bool {
	switch len(key) {
	case len("Upgrade"):
		return strings.EqualFold(key, "Upgrade")
	case len("Connection"):
		return strings.EqualFold(key, "Connection") || strings.EqualFold(key, "Keep-Alive")
	case len("Proxy-Connection"):
		return strings.EqualFold(key, "Proxy-Connection")
	case len("Transfer-Encoding"):
		return strings.EqualFold(key, "Transfer-Encoding")
	}
	return false
}

func longer(value string) bool { return len(value) > maxField }

// replace answers in the app's place.
func (w *writer) replace() {
	w.replaced, w.status = true, http.StatusBadGateway
	clear(w.Header())
	problem.AnswerInvalid.Write(w.ResponseWriter)
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		if !w.sanitize() { // informational: the final header is still to come
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	if status == http.StatusNoContent {
		w.Header().Del("Content-Length") // RFC 9110, 8.6; Envoy waits for the bytes
	}
	if w.status == 0 {
		w.status = status
	}
	w.clean()
	if !w.replaced {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.clean()
	if w.replaced {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *writer) FlushError() error {
	w.clean()
	if f, ok := w.ResponseWriter.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach deadlines and full duplex.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker, on HTTP/1.1 tunnels. The slot is released when the connection is closed.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked = true
	w.gate.answered(http.StatusSwitchingProtocols)
	c := upgrade(conn, w.gate.HalfClosed, func() {
		w.leave()
		w.gate.release()
	})
	return c, through(c, buffered), nil
}
