// Package backoff pauses between attempts: longer each time, with jitter, and from the start again after an attempt that
// lasted.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Backoff doubles its pause at each use. It is for one goroutine.
type Backoff struct {
	Least, Most time.Duration
	Steady      time.Duration // an attempt that stood this long starts over at Least

	next time.Duration
}

// Stood tells how long the last attempt held.
func (b *Backoff) Stood(d time.Duration) {
	if d >= b.Steady {
		b.Reset()
	}
}

// Reset starts over at Least.
func (b *Backoff) Reset() { b.next = 0 }

// Sleep pauses, between a half and the whole of the current length, and tells whether ctx still lives.
func (b *Backoff) Sleep(ctx context.Context) bool {
	timer := time.NewTimer(b.pause())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *Backoff) pause() time.Duration {
	whole := min(max(b.next, b.Least), b.Most)
	b.next = 2 * whole
	return whole/2 + rand.N(whole/2+1)
}
