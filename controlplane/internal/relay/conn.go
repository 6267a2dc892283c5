package relay

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/door"
)

// A peerConn is a connection that a peer dialled, with or without TLS. One goroutine may read while another writes.
type peerConn struct {
	source
	tcp      *net.TCPConn
	tls      *tls.Conn // nil without TLS
	serial   uint64    // counts accepted connections: tells which of two is older
	counters *counters
	closed   atomic.Bool
	counted  atomic.Bool // among the connections of those who are let in

	// Owned by the handshake's goroutine.
	visit *door.Visit // nil once the peer is let in
	below *records    // nil without TLS
}

// newPeerConn wraps an accepted connection, whose handshake waits and computes as the visit allows. A nil config means
// plain TCP.
func newPeerConn(tcp *net.TCPConn, config *tls.Config, visit *door.Visit, serial uint64, c *counters) (*peerConn, error) {
	in, err := newLazyReader(tcp)
	if err != nil {
		return nil, err
	}
	conn := &peerConn{source: in, tcp: tcp, serial: serial, counters: c, visit: visit}
	if config != nil {
		conn.below = &records{TCPConn: tcp, in: in, visit: visit}
		conn.tls = tls.Server(conn.below, config)
		conn.source = &tlsSource{conn: conn.tls, in: conn.below}
	}
	return conn, nil
}

// admit ends the handshake's visit: the peer has shown a valid token.
func (c *peerConn) admit() error {
	if err := c.visit.Admit(); err != nil {
		return err
	}
	c.visit = nil
	if c.below != nil {
		c.below.visit = nil
	}
	c.counters.connections.Add(1)
	c.counted.Store(true)
	if c.closed.Load() { // somebody gave it up meanwhile
		c.uncount()
	}
	return nil
}

// uncount is harmless twice, and before admit.
func (c *peerConn) uncount() {
	if c.counted.Swap(false) {
		c.counters.connections.Add(-1)
	}
}

// startTLS shakes hands, if there is anything to shake.
func (c *peerConn) startTLS() error {
	if c.tls == nil {
		return nil
	}
	return c.tls.Handshake()
}

// handshake is what the handshake reads from. It computes only in a turn.
func (c *peerConn) handshake() io.Reader {
	if c.tls != nil {
		return c.tls
	}
	return plainHandshake{c}
}

type plainHandshake struct{ *peerConn }

func (c plainHandshake) Read(p []byte) (int, error) {
	if err := awaitTurn(c.tcp, c.visit); err != nil {
		return 0, err
	}
	return c.tcp.Read(p)
}

// stream is the connection for the time of the handshake, when a Read may hold a buffer.
func (c *peerConn) stream() io.ReadWriter {
	if c.tls != nil {
		return c.tls
	}
	return c.tcp
}

func (c *peerConn) Write(p []byte) (int, error) { return c.stream().Write(p) }

// CloseWrite tells the peer that nothing more comes; it may go on sending.
func (c *peerConn) CloseWrite() error {
	if c.tls != nil {
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	return c.tcp.CloseWrite()
}

// Close closes at once, without TLS's goodbye, which could wait for a peer that does not read: what ends in order has
// said it by CloseWrite. What was written is still delivered. It is harmless twice.
func (c *peerConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.uncount()
	return c.tcp.Close()
}

// reset closes at once, and the peer learns that nobody reads any more either. What was written may not be delivered.
func (c *peerConn) reset() {
	_ = c.tcp.SetLinger(0) // an error means that it is closed
	_ = c.Close()
}
