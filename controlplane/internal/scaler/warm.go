package scaler

import (
	"math"
	"time"
)

// A warmBucket paces starts in environments that are there. These make nothing new: Lambda bounds them by nothing but its
// concurrency, and each costs milliseconds. The bucket is as large as what exists, and fills within a second; so an environment
// that ends as soon as it starts is not started for ever.
type warmBucket struct {
	used float64
	at   time.Time
}

// tokens is how many could be taken where so many environments exist.
func (b *warmBucket) tokens(now time.Time, exist int) int {
	if d := now.Sub(b.at); d > 0 {
		b.used, b.at = max(0, b.used-d.Seconds()*float64(exist)), now
	}
	return max(0, exist-int(math.Ceil(b.used)))
}

// take takes n of them.
func (b *warmBucket) take(n int) { b.used += float64(n) }
