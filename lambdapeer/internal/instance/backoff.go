package instance

import (
	"context"
	"math/rand/v2"
	"time"
)

// Bounds of the pause between attempts to reach one relay. A connection that stood for steady starts over at the least.
const (
	leastPause = 20 * time.Millisecond
	mostPause  = time.Second
	steady     = 5 * time.Second
)

// backoff doubles its pause at each use. Its zero value starts at the least.
type backoff struct {
	next time.Duration
}

// pause returns the next pause, jittered between a half and the whole of it.
func (b *backoff) pause() time.Duration {
	b.next = min(max(b.next, leastPause), mostPause)
	pause := b.next/2 + rand.N(b.next/2+1)
	b.next *= 2
	return pause
}

// stood tells how long the connection before the next pause lived.
func (b *backoff) stood(d time.Duration) {
	if d >= steady {
		b.next = 0
	}
}

// sleep pauses until ctx ends and tells whether it still lives.
func (b *backoff) sleep(ctx context.Context) bool {
	timer := time.NewTimer(b.pause())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
