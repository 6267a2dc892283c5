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

// http2Conn keeps http.Transport from sending a request again over HTTP/2. It does so with one without a body whose stream the app
// has reset with PROTOCOL_ERROR, though the app may have worked on it. This conn passes that on as INTERNAL_ERROR. What the app
// says not to have seen (REFUSED_STREAM, GOAWAY) is sent again.
type http2Conn struct {
	answerConn
	head [frameHeader]byte // of the frame that is being read; only Read uses this and the next two
	have int               // bytes of head
	left int               // bytes of the frame's payload to come
}

const (
	frameHeader = 9
	frameReset  = 3 // its payload is an error code, of which one byte is used

	protocolError = 1
	internalError = 2
)

// Read implements net.Conn.
func (c *http2Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if c.have < frameHeader {
			got := copy(c.head[c.have:], rest)
			c.have, rest = c.have+got, rest[got:]
			if c.left = int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2]); c.have < frameHeader || c.left > 0 {
				continue
			}
		}
		got := min(c.left, len(rest))
		c.left -= got
		if reset := c.head[3] == frameReset && c.left == 0 && got > 0; reset && rest[got-1] == protocolError {
			rest[got-1] = internalError
		}
		if rest = rest[got:]; c.left == 0 {
			c.have = 0
		}
	}
	return n, err
}
