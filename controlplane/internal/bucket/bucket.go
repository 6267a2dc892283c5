// Package bucket holds rates: how often something may happen on average, and how often at once.
package bucket

import (
	"math"
	"time"
)

// A Bucket is a token bucket: over any window, at most size plus rate times the window tokens are taken. It counts in
// whole nanoseconds (the generic cell rate algorithm), so that the bound is exact and the time of the next token is too.
type Bucket struct {
	interval time.Duration // of one token
	size     int
	full     time.Time // when the bucket is, or was, full again
}

// New returns a full bucket. A rate of 0 never refills it.
func New(perSecond float64, size int) Bucket {
	interval := maxInterval
	if perSecond > 0 {
		interval = time.Duration(min(math.Ceil(float64(time.Second)/perSecond), float64(maxInterval)))
	}
	return Bucket{interval: interval, size: min(max(0, size), int(math.MaxInt64/int64(interval))-1)}
}

// Resized returns a bucket of that rate and size from which as many tokens are missing as from b, but for those beyond its size.
func (b *Bucket) Resized(now time.Time, perSecond float64, size int) Bucket {
	next := New(perSecond, size)
	next.Take(now, min(b.size-b.Tokens(now), next.size))
	return next
}

// maxInterval stands for never.
const maxInterval = 100 * 24 * time.Hour

// Tokens is how many could be taken now.
func (b *Bucket) Tokens(now time.Time) int {
	missing := max(0, b.full.Sub(now))
	return b.size - int((missing+b.interval-1)/b.interval)
}

// Take takes n tokens; the caller has asked Tokens.
func (b *Bucket) Take(now time.Time, n int) {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(time.Duration(n) * b.interval)
}

// Give puts n tokens back, of which those beyond the bucket's size are lost.
func (b *Bucket) Give(n int) { b.full = b.full.Add(-time.Duration(n) * b.interval) }

// Try takes one token if there is one, and tells whether there was.
func (b *Bucket) Try(now time.Time) bool {
	if b.Tokens(now) < 1 {
		return false
	}
	b.Take(now, 1)
	return true
}

// Next is when the bucket has one token more than now.
func (b *Bucket) Next(now time.Time) time.Time {
	return b.full.Add(-time.Duration(b.size-b.Tokens(now)-1) * b.interval)
}
