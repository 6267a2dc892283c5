package tunnel

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Traffic counts bytes over many connections, TLS not included.
type Traffic struct {
	In, Out atomic.Int64
}

// A Conn is an upgraded connection. It hides its *tls.Conn: net/http would look there for a protocol negotiated by ALPN, and a
// tunnel negotiates none.
type Conn struct {
	conn    net.Conn
	traffic *Traffic
	surplus []byte // read, but not yet by Read; owned by the reader

	closing sync.Once
	onClose func() // set before the connection is shared
	failed  error
}

// firstBytes is enough for the preface and settings of an HTTP/2 connection.
const firstBytes = 256

// Await blocks until the other end has sent something, which stays to be read, or until the connection ends.
func (c *Conn) Await() error {
	if len(c.surplus) > 0 {
		return nil
	}
	first := make([]byte, firstBytes)
	n, err := c.conn.Read(first)
	if n == 0 && err != nil {
		return err
	}
	c.surplus = first[:n]
	return nil
}

// Doubt ends the connection if data on it stays unacknowledged for d. It is for a connection that may lead nowhere: a healthy
// receiver that is full would be cut as well.
func (c *Conn) Doubt(d time.Duration) {
	setUserTimeout(c.below(), d)
}

// Lost tells whether the other end has reset the connection, even if nobody reads or writes it. It says so once: the kernel
// forgets the error when it is read.
func (c *Conn) Lost() bool { return wasReset(c.below()) }

func (c *Conn) below() net.Conn {
	if secured, ok := c.conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return c.conn
}

// OnClose makes the first Close call f. It must be called before the connection is handed on, and at most once.
func (c *Conn) OnClose(f func()) { c.onClose = f }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.surplus) > 0 {
		n := copy(p, c.surplus)
		c.surplus = c.surplus[n:]
		c.traffic.In.Add(int64(n))
		return n, nil
	}
	c.surplus = nil
	n, err := c.conn.Read(p)
	c.traffic.In.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.conn.Write(p)
	c.traffic.Out.Add(int64(n))
	return n, err
}

// Close implements net.Conn. Only the first call does anything.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		c.failed = c.conn.Close()
		if c.onClose != nil {
			c.onClose()
		}
	})
	return c.failed
}

// CloseWrite lets net/http end an answer cleanly while the client still sends.
func (c *Conn) CloseWrite() error {
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }
