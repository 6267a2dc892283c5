package function

import "time"

// scalingPeriod is the time in which a function may get ScalingRate new environments.
const scalingPeriod = 10 * time.Second

// A bucket limits how fast environments are created: size of them at once, refilled evenly over the period.
type bucket struct {
	size   float64
	tokens float64
	last   time.Time
}

func newBucket(size int) bucket {
	return bucket{size: float64(size), tokens: float64(size)}
}

// take takes a token, or returns false if there is none at now.
func (b *bucket) take(now time.Time) bool {
	if !b.last.IsZero() {
		b.tokens = min(b.size, b.tokens+b.size*float64(now.Sub(b.last))/float64(scalingPeriod))
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
