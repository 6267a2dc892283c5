package relay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// acceptPause is how long accepting pauses after an error that may pass, if no stranger could be made to go.
const acceptPause = 50 * time.Millisecond

// relief is how many strangers must go when no file descriptor is left.
const relief = 32

// serve accepts peers until ctx ends or the port fails.
func (r *Relay) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, r.door.Shut)
	defer stop()
	for {
		tcp, err := r.listener.AcceptTCP()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = tcp.Close()
			}
			return nil
		case err == nil:
			r.receive(ctx, tcp)
		case !r.pauseAccept(err):
			return fmt.Errorf("relay: %w", err)
		}
	}
}

// pauseAccept waits after a failed accept, and tells whether to accept again.
func (r *Relay) pauseAccept(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	r.acceptFailed.Do(func() { r.log.WithError(err).Warn("accept failed") })
	if r.relieve(err) {
		return true
	}
	select {
	case <-time.After(acceptPause):
		return true
	case <-r.stopped:
		return false
	}
}

// relieve makes strangers go if err says that file descriptors are short, because peers that are let in need them too. It tells
// whether any stranger went.
func (r *Relay) relieve(err error) bool {
	return (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) && r.door.Relieve(relief) > 0
}

// A moment is the time of something that happens again and again. It keeps to the monotonic clock, so it outlives a change of the host's
// time. The zero value: it has not happened.
type moment struct{ atomic.Pointer[time.Time] }

func (m *moment) set(at time.Time) { m.Store(&at) }

// since is how long ago that was at now. What has not happened was long ago.
func (m *moment) since(now time.Time) time.Duration {
	last := m.Load()
	if last == nil {
		return math.MaxInt64
	}
	return now.Sub(*last)
}
