package slots

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// refuse answers for the peer, before any app has seen the request.
func refuse(w http.ResponseWriter) {
	w.Header().Set(wire.RefusedHeader, "1")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte("no free slot\n"))
}

// writer is the app's http.ResponseWriter. It keeps the peer's own header out of the app's answers and the slot taken for
// as long as a hijacked connection lives.
type writer struct {
	http.ResponseWriter
	gate *Gate

	cleaned  bool // the final header has been written
	hijacked bool
}

// done runs when the handler has returned.
func (w *writer) done() {
	if !w.hijacked {
		w.clean() // net/http writes the header now, if nobody did
		w.gate.release()
	}
}

func (w *writer) clean() {
	if w.cleaned {
		return
	}
	w.cleaned = true
	w.dropRefused()
}

// dropRefused looks at every key, since an app may set one in any spelling by indexing the map.
func (w *writer) dropRefused() {
	header := w.Header()
	for key := range header {
		if len(key) == len(wire.RefusedHeader) && strings.EqualFold(key, wire.RefusedHeader) {
			delete(header, key)
		}
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.dropRefused() // informational: the final header is still to come
	} else {
		w.clean()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.clean()
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
	return &slotConn{Conn: conn, release: sync.OnceFunc(w.gate.release)}, buffered, nil
}

type slotConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *slotConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite passes a half close on, which proxies of upgraded connections use.
func (c *slotConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}
