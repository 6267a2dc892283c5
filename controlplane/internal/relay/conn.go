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
	serial   uint64    // number of the accepted connection, which tells the older one of two
	counters *counters
	closed   atomic.Bool
	counted  atomic.Bool // in counters.connections

	// Owned by the handshake's goroutine.
	visit *door.Visit // nil once the peer is let in
	below *records    // nil without TLS
}

// newPeerConn wraps an accepted connection. Its handshake uses CPU only in turns of the visit. A nil config means plain TCP.
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

// admit ends the handshake's visit, because the peer has shown a valid token.
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
	if c.closed.Load() { // it was closed meanwhile
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

// startTLS does the TLS handshake, if there is TLS.
func (c *peerConn) startTLS() error {
	if c.tls == nil {
		return nil
	}
	return c.tls.Handshake()
}

// handshake is the reader for the handshake and the request. It uses CPU only in turns of the visit.
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

// stream is the connection with or without TLS. Only the handshake reads from it, because a Read holds a buffer while it waits.
func (c *peerConn) stream() io.ReadWriter {
	if c.tls != nil {
		return c.tls
	}
	return c.tcp
}

func (c *peerConn) Write(p []byte) (int, error) { return c.stream().Write(p) }

// CloseWrite tells the peer that no more bytes come. The peer may go on sending.
func (c *peerConn) CloseWrite() error {
	if c.tls != nil {
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	return c.tcp.CloseWrite()
}

// Close closes at once, without TLS's close_notify, which could wait for a peer that does not read. For an orderly end call
// CloseWrite before. What was written is still delivered. It is harmless twice.
func (c *peerConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.uncount()
	return c.tcp.Close()
}

// reset closes at once with a TCP reset, so that the peer learns that nobody reads any more. What was written may not be delivered.
func (c *peerConn) reset() {
	_ = c.tcp.SetLinger(0) // an error means that it is closed
	_ = c.Close()
}
