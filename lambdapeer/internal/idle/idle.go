// Package idle tells when the processes beside this one do nothing: they have finished starting, or wait for something that
// does not come.
package idle

import (
	"context"
	"os"
	"time"
)

const (
	every = 250 * time.Millisecond
	// window is how long they must have done nothing, and busy the processor time that still counts as nothing, a fifth of it:
	// an app that answers readiness checks uses some, and one that starts takes all that it can get.
	window = 1500 * time.Millisecond
	busy   = window / 5
)

// A sample is the processor time that a group of processes has used.
type sample struct {
	used    time.Duration
	at      time.Time
	blocked bool // one of them waits for a disk
}

// Await blocks until the processes beside this one have used almost no processor time for a second and a half, and returns
// true. It returns false when ctx ends; where it can tell nothing, it waits for that. The processes are the parent's other
// children and what they started. A child counts only if it has the mark, NAME=VALUE, in its environment, and the same network
// as this process: the parent may have others.
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
