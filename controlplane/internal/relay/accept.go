package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// acceptPause is how long accepting rests after an error that may pass: no file descriptor left, say.
const acceptPause = 50 * time.Millisecond

// serve accepts peers until ctx ends or the port fails.
func (r *Relay) serve(ctx context.Context) error {
	handshakes := make(chan struct{}, maxHandshakes)
	for {
		select {
		case handshakes <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		tcp, err := r.listener.AcceptTCP()
		if err != nil {
			<-handshakes
			if ctx.Err() != nil {
				return nil
			}
			if !r.pauseAccept(err) {
				return fmt.Errorf("relay: %w", err)
			}
			continue
		}
		r.tasks.Go(func() {
			defer func() { <-handshakes }()
			r.admit(ctx, tcp)
		})
	}
}

// admit holds a new connection to the limit. Above it there is no TLS handshake: that is what the limit is to prevent,
// so that only a peer in plain TCP hears why.
func (r *Relay) admit(ctx context.Context, tcp *net.TCPConn) {
	config := r.identity.config
	full := r.counters.connections.Load() >= int64(r.config.MaxConnections)
	if full && config != nil {
		r.counters.drop(DropTooManyConnections)
		_ = tcp.Close()
		return
	}
	conn, err := newPeerConn(tcp, config, &r.counters)
	if err != nil {
		_ = tcp.Close()
		return
	}
	if full {
		r.refuse(conn, refuse(DropTooManyConnections, "the relay has as many connections as it may"))
		return
	}
	r.greet(ctx, conn)
}

// pauseAccept rests after a failed accept and tells whether to go on.
func (r *Relay) pauseAccept(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	r.log.WithError(err).Warn("accept failed")
	select {
	case <-time.After(acceptPause):
		return true
	case <-r.stopped:
		return false
	}
}
