package scaler

import (
	"math"
	"time"
)

// A warmBucket paces starts in frozen environments. They make no new environment and cost milliseconds, and Lambda bounds them
// only by its concurrency. The bucket has a token for each environment and fills within a second, so that an environment that
// ends as soon as it starts is not started in an endless loop.
type warmBucket struct {
	used float64
	at   time.Time
}

// tokens is how many tokens there are if exist environments exist.
func (b *warmBucket) tokens(now time.Time, exist int) int {
	if d := now.Sub(b.at); d > 0 {
		b.used, b.at = max(0, b.used-d.Seconds()*float64(exist)), now
	}
	return max(0, exist-int(math.Ceil(b.used)))
}

// take takes n of them.
func (b *warmBucket) take(n int) { b.used += float64(n) }
