package proxy

import (
	"net"
	"sync/atomic"
)

// answerConn lets the app's answer decide how a request went. An app that answers early (413, say) and closes makes the
// rest of the upload fail, and http.Transport would report that failure although the answer is there to be read. So a
// failed write counts as done; reading then finds the answer, or the end of the connection.
type answerConn struct {
	net.Conn
}

// Write implements net.Conn.
func (c *answerConn) Write(p []byte) (int, error) {
	_, _ = c.Conn.Write(p)
	return len(p), nil
}

// CloseWrite lets an upgraded connection be half closed.
func (c *answerConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}

// http1Conn keeps http.Transport from sending a request again. It would do so with a GET, or whatever else it takes for
// idempotent, if the connection ended before the first byte of the answer; but the app may have worked on it. Only what was
// not written at all goes to another connection.
type http1Conn struct {
	answerConn
	due   atomic.Bool           // a request has this connection, and no byte of its answer has come
	spoke atomic.Bool           // bytes have come
	end   atomic.Pointer[error] // how the connection ended while an answer was due
	gone  atomic.Pointer[error] // how it ended before a byte came or was due
}

// Read implements net.Conn. If the connection ends while an answer is due, it returns a zero byte before the error, so that
// http.Transport takes the answer for begun.
func (c *http1Conn) Read(p []byte) (int, error) {
	if end := c.end.Load(); end != nil {
		return 0, *end
	}
	n, err := c.Conn.Read(p)
	switch {
	case n > 0:
		c.spoke.Store(true)
		c.due.Store(false)
	case err != nil && len(p) > 0 && c.due.Swap(false):
		c.end.Store(&err)
		p[0] = 0
		return 1, nil
	case err != nil && !c.spoke.Load():
		c.gone.Store(&err)
	}
	return n, err
}
