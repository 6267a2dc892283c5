package scaler

import (
	"math"
	"time"
)

// How a Limiter judges.
const (
	limitSample = 200  // requests per look
	limitEnough = 0.95 // of them: the longest may take very long
	// slowdown is how much longer requests may take than alone. An app that computes does no more work in sum from about
	// there on, however many requests it has; one that waits for others never gets there.
	slowdown = 1.7
	loaded   = 0.8 // of the limit: requests that began beside fewer others say nothing about it
)

// A Limiter learns how many requests an instance should serve at once, from how long they take. It begins with one, which
// tells how long a request takes alone, goes up while requests hardly take longer, quickly at first, and down when they
// do. It never exceeds its cap.
//
// An app that has become slower for other reasons is taken down to one, measured anew, and up again. Times are compared by
// their geometric mean, which a few very long requests do not sway.
//
// It looks at requests in the order in which they began: the first that end are the short ones, and would mislead.
type Limiter struct {
	most    int
	limit   int
	alone   float64 // how long a request takes alone; as are the other times, the logarithm of its nanoseconds
	settled bool    // the limit was too high once: steps are small from then on

	look  uint64 // number of the sample that is being taken
	begun int    // requests of the sample
	ended int
	sum   float64
}

// NewLimiter returns a limiter that knows nothing.
func NewLimiter(most int) *Limiter { return &Limiter{most: max(1, most), limit: 1, look: 1} }

// Bound sets another cap.
func (l *Limiter) Bound(most int) { l.most, l.limit = max(1, most), min(l.limit, max(1, most)) }

// Limit is how many requests an instance should serve at once.
func (l *Limiter) Limit() int { return l.limit }

// Began says that a request is now one of so many on its instance. What it returns is to be handed to Ended; 0: nothing
// is.
func (l *Limiter) Began(among int) uint64 {
	if l.begun == limitSample || float64(among) < loaded*float64(l.limit) || among > l.limit {
		return 0
	}
	l.begun++
	return l.look
}

// Ended says how long the request took. It reports whether the limit has changed.
func (l *Limiter) Ended(look uint64, took time.Duration) bool {
	if look != l.look {
		return false
	}
	l.sum += math.Log(float64(max(took, 1)))
	if l.ended++; l.ended < limitSample*limitEnough {
		return false
	}
	mean, before := l.sum/float64(l.ended), l.limit
	l.look++
	l.begun, l.ended, l.sum = 0, 0, 0
	l.judge(mean)
	return l.limit != before
}

func (l *Limiter) judge(mean float64) {
	switch {
	case l.limit == 1 && math.Abs(mean-l.alone) > math.Ln2:
		l.alone = mean
	case l.limit == 1:
		l.alone += (mean - l.alone) / 2
	case mean < l.alone:
		l.alone += (mean - l.alone) / 4 // not all: the luckiest of many samples is too quick
	}
	slower := math.Exp(mean - l.alone)
	switch {
	case slower > slowdown:
		l.settled = true
		l.limit = max(1, l.limit/2, int(float64(l.limit)*slowdown/slower))
	case !l.settled:
		l.limit = min(l.most, 2*l.limit)
	case slower < 0.9*slowdown:
		l.limit = min(l.most, l.limit+max(1, l.limit/10))
	}
}
