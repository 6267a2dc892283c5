// Package idle tells when the processes beside this one do nothing: they have started, or wait for something that does not
// come.
package idle

import (
	"context"
	"os"
	"time"
)

const (
	every = 250 * time.Millisecond
	// window is how long they must have done nothing, and busy how much processor time that may be, a fifth of it: an app that
	// is asked whether it is ready spends some on its answers, and one that starts takes all that it can get.
	window = 1500 * time.Millisecond
	busy   = window / 5
)

// A sample is the processor time that a group of processes has used.
type sample struct {
	used    time.Duration
	at      time.Time
	blocked bool // one of them waits for a disk
}

// Await blocks until the processes beside this one, those of the same parent and what they started, have used as good as
// no processor time for a second and a half, and returns true. It returns false when ctx ends, which it does wait for where it can
// tell nothing. A parent may have other children that are not meant: those that are have the mark, NAME=VALUE, in their
// environment, and the same network.
func Await(ctx context.Context, mark string) bool {
	return await(ctx, func() (sample, bool) { return look(os.Getppid(), os.Getpid(), mark) })
}

func await(ctx context.Context, look func() (sample, bool)) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var since sample // the last moment at which they worked
	for {
		now, ok := look()
		switch {
		case !ok:
			since = sample{} // they have not been started
		case since.at.IsZero(), now.blocked, now.used < since.used, now.used-since.used > busy:
			since = now
		case now.at.Sub(since.at) >= window:
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}
