package scaler

import (
	"math"
	"time"
)

// How finely and for how long a Tail remembers.
const (
	tailGrowth  = 1.1 // ratio of a bucket's bounds
	tailBuckets = 72  // from tailLeast to above 15 minutes, the longest invocation of Lambda
	tailLeast   = time.Second
	tailMemory  = 3 * time.Hour
)

// lindy is how many times as long as the oldest request has taken so far it is expected to take in all, if no request has been seen
// that took as long (Lindy's law).
const lindy = 2.1

// A Tail learns how long the longest requests of a function take. For each length, in steps of 10 %, it remembers when a request
// last took that long. The zero value has seen nothing.
type Tail struct {
	last [tailBuckets]time.Time
	cut  time.Time // when a request was last cut off by the end of its instance
}

// Ended says that a request has ended by itself after that time. It reports whether that is longer than all within tailMemory.
func (t *Tail) Ended(now time.Time, took time.Duration) (longer bool) {
	if took < tailLeast {
		return false
	}
	k := tailBucket(took)
	longer = k > t.longest(now, tailBuckets-1)
	t.last[k] = now
	return longer
}

// Cut says that a request was cut off because its instance had no time left.
func (t *Tail) Cut(now time.Time) { t.cut = now }

// Expect is how long requests take at most. Requests longer than most are left out, because no instance has time for them. The
// oldest one in flight has taken oldest so far. If none was seen to take as long or to be cut off, it may take twice that.
func (t *Tail) Expect(now time.Time, oldest, most time.Duration) time.Duration {
	longest := tailEdge(t.longest(now, tailBucket(most)) + 1)
	if oldest > longest && now.Sub(t.cut) > tailMemory {
		longest = time.Duration(lindy * float64(oldest))
	}
	return min(longest, most)
}

// longest is the highest bucket up to k in which a request has ended within tailMemory; -1: none.
func (t *Tail) longest(now time.Time, k int) int {
	for ; k >= 0; k-- {
		if now.Sub(t.last[k]) < tailMemory {
			return k
		}
	}
	return -1
}

// tailBucket is where a request of that length belongs.
func tailBucket(took time.Duration) int {
	k := int(math.Log(max(took, tailLeast).Seconds()/tailLeast.Seconds()) / math.Log(tailGrowth))
	return min(k, tailBuckets-1)
}

// tailEdge is the lower bound of a bucket; 0 for the first.
func tailEdge(k int) time.Duration {
	if k == 0 {
		return 0
	}
	return time.Duration(float64(tailLeast) * math.Pow(tailGrowth, float64(k)))
}
