// Package gateway is the way out of sandboxes: it takes connections that processes inside made to addresses which are not
// inside, and makes the same connections from the machine.
package gateway

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// dialLimit is how long the other end may take to accept.
const dialLimit = 30 * time.Second

// A Gateway serves one environment.
type Gateway struct {
	// Intercept returns the function that serves connections to an address instead, until each has ended. It returns nil if the
	// connections are to be forwarded.
	Intercept func(to netip.AddrPort) func(context.Context, *net.TCPConn)
	Log       logrus.FieldLogger
}

// Connection forwards a connection until both directions have ended, or one broke, or ctx ended. Nothing is added to the time of
// a dial (assumed: dial). Where the other end refuses, the connection is reset.
func (g Gateway) Connection(ctx context.Context, from *net.TCPConn, to netip.AddrPort) {
	if take := g.Intercept(to); take != nil {
		take(ctx, from)
		return
	}
	conn, err := (&net.Dialer{Timeout: dialLimit, KeepAlive: -1}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		g.Log.WithError(err).WithField("to", to.String()).Debug("what left an environment arrived nowhere")
		reset(from)
		return
	}
	forward(ctx, from, conn.(*net.TCPConn))
}

// Datagrams connects to an address by UDP.
func (g Gateway) Datagrams(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "udp", to.String())
}

// forward ties two connections together. What happens to one happens to the other.
func forward(ctx context.Context, a, b *net.TCPConn) {
	defer context.AfterFunc(ctx, func() { reset(a); reset(b) })()
	var directions sync.WaitGroup
	directions.Go(func() { carry(a, b) })
	directions.Go(func() { carry(b, a) })
	directions.Wait()
	_, _ = a.Close(), b.Close()
}

// carry moves one direction's bytes and passes their end on. A broken connection breaks the other.
func carry(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		reset(to)
		reset(from)
		return
	}
	_ = to.CloseWrite()
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
