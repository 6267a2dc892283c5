package relay

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
)

// A peerConn is a connection that a peer dialled, with or without TLS. One goroutine may read while another writes.
type peerConn struct {
	source
	tcp      *net.TCPConn
	tls      *tls.Conn // nil without TLS
	serial   uint64    // counts accepted connections: tells which of two is older
	counters *counters
	closed   atomic.Bool
}

// newPeerConn wraps an accepted connection. A nil config means plain TCP.
func newPeerConn(tcp *net.TCPConn, config *tls.Config, c *counters) (*peerConn, error) {
	in, err := newLazyReader(tcp)
	if err != nil {
		return nil, err
	}
	conn := &peerConn{source: in, tcp: tcp, serial: c.accepted.Add(1), counters: c}
	if config != nil {
		below := &records{TCPConn: tcp, in: in}
		conn.tls = tls.Server(below, config)
		conn.source = &tlsSource{conn: conn.tls, in: below}
	}
	c.connections.Add(1)
	return conn, nil
}

// startTLS shakes hands, if there is anything to shake.
func (c *peerConn) startTLS(ctx context.Context) error {
	if c.tls == nil {
		return nil
	}
	return c.tls.HandshakeContext(ctx)
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
	c.counters.connections.Add(-1)
	return c.tcp.Close()
}
