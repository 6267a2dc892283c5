package scaler

import (
	"math"
	"time"
)

// FirstSlots is how many requests an instance is given before anything is known about its app. An app that waits for others serves
// more; one that computes takes as long for the work in sum as it would one after the other, so that a guess too high costs its
// clients a wait, and no money.
const FirstSlots = 8

// How a Limiter judges.
const (
	limitSample = 200  // requests per look
	aloneSample = 100  // requests that tell how long one takes alone
	limitEnough = 0.95 // of them: the longest may take very long
	// slowdown is how much longer requests may take than alone. An app that computes does no more work in sum from about
	// there on, however many requests it has; one that waits for others never gets there.
	slowdown = 1.7
	eased    = 0.9 * slowdown // below that there may be more
	loaded   = 0.8            // of the limit: requests that began beside fewer others say nothing about it
	// aloneFor is for how long it is believed how long a request takes alone, when the limit rises. For it to fall that is measured
	// anew: the app may have become slower for other reasons.
	aloneFor = 10 * time.Minute
	// sampleFor bounds how long a sample may take: what does not end, a stream say, would hold it up for ever.
	sampleFor = 10 * time.Minute
	// A limit that was too high is tried again after so many looks; twice as many each time, up to mostRest.
	leastRest, mostRest = 4, 64
)

// A Limiter learns how many requests an instance should serve at once, from how long they take beside others and alone. It begins
// with FirstSlots, goes up while requests hardly take longer, quickly at first, and down when they do. It never exceeds its cap.
//
// How long a request takes alone it asks for when it is about to change the limit: then one instance is to serve one request at a
// time for a while. Times are compared by their geometric mean, which a few very long requests do not sway.
//
// It looks at requests in the order in which they began: the first that end are the short ones, and would mislead.
type Limiter struct {
	most    int
	limit   int
	settled bool // the limit was too high once: steps are small from then on

	alone   float64   // how long a request takes alone; as are the other times, the logarithm of its nanoseconds
	aloneAt time.Time // when that was measured; zero: never
	fresh   bool      // since the limit was last found too high
	asks    time.Time // since when for requests alone; zero: it does not

	tooHigh int // the limit that was too high the last time; 0: none was
	rest    int // looks until it may be tried again
	resting int // looks that rest began with

	beside, single sample
}

// A sample is requests that begin one after the other.
type sample struct {
	number uint64 // of the sample that is being taken
	begun  int
	ended  int
	sum    float64
	since  time.Time
}

// NewLimiter returns a limiter that knows nothing.
func NewLimiter(most int) *Limiter {
	most = max(1, most)
	return &Limiter{most: most, limit: min(FirstSlots, most), beside: sample{number: 2}, single: sample{number: 1}}
}

// Bound sets another cap.
func (l *Limiter) Bound(most int) {
	if l.most = max(1, most); l.aloneAt.IsZero() {
		l.limit = FirstSlots
	}
	l.limit = min(l.limit, l.most)
}

// Limit is how many requests an instance should serve at once.
func (l *Limiter) Limit() int { return l.limit }

// Asks reports whether an instance should serve one request at a time for now, as a measure for the others.
func (l *Limiter) Asks() bool { return !l.asks.IsZero() }

// Began says that a request is now one of so many on its instance; single says that it is one that Asks asks for. What it returns
// is to be handed to Ended or Void; 0: nothing is.
func (l *Limiter) Began(now time.Time, among int, single bool) uint64 {
	switch {
	case single && among == 1 && l.Asks():
		return l.single.begin(now, aloneSample)
	case single, float64(among) < loaded*float64(l.limit), among > l.limit:
		return 0
	}
	return l.beside.begin(now, limitSample)
}

func (s *sample) begin(now time.Time, size int) uint64 {
	if s.begun > 0 && now.Sub(s.since) > sampleFor {
		s.restart()
	}
	if s.begun == size {
		return 0
	}
	if s.begun == 0 {
		s.since = now
	}
	s.begun++
	return s.number
}

// Void says that nobody knows how long the request would have taken.
func (l *Limiter) Void(number uint64) {
	for _, s := range []*sample{&l.beside, &l.single} {
		if s.number == number {
			s.begun--
		}
	}
}

// end takes in how long a request took. Once the sample is complete it gives the mean, and the next one begins.
func (s *sample) end(took time.Duration, size int) (mean float64, complete bool) {
	s.sum += math.Log(float64(max(took, 1)))
	if s.ended++; float64(s.ended) < float64(size)*limitEnough {
		return 0, false
	}
	mean = s.sum / float64(s.ended)
	s.restart()
	return mean, true
}

// restart begins another sample. Numbers of the two kinds are odd and even.
func (s *sample) restart() { *s = sample{number: s.number + 2} }

// Ended says how long the request took. It reports whether Limit or Asks has changed.
func (l *Limiter) Ended(now time.Time, number uint64, took time.Duration) bool {
	limit, asks := l.limit, l.Asks()
	switch number {
	case l.beside.number:
		if mean, complete := l.beside.end(took, limitSample); complete {
			l.judge(now, mean)
		}
	case l.single.number:
		if mean, complete := l.single.end(took, aloneSample); complete {
			l.measure(now, mean)
		}
	}
	if now.Sub(l.asks) > sampleFor {
		l.asks = time.Time{} // it asks again when it is about to change something
	}
	return l.limit != limit || l.Asks() != asks
}

// measure takes in how long a request takes alone.
func (l *Limiter) measure(now time.Time, mean float64) {
	if math.Abs(mean-l.alone) > math.Ln2 {
		l.tooHigh, l.resting = 0, 0 // another app, or another state of it
	}
	l.alone, l.aloneAt, l.fresh, l.asks = mean, now, true, time.Time{}
	l.beside.restart()
}

// ask wants to know how long a request takes alone.
func (l *Limiter) ask(now time.Time) {
	if !l.Asks() {
		l.asks = now
		l.single.restart()
	}
}

func (l *Limiter) judge(now time.Time, mean float64) {
	if l.limit == 1 { // all are alone
		l.measure(now, mean)
	}
	slower := math.Exp(mean - l.alone)
	switch {
	case l.aloneAt.IsZero(), slower > slowdown && !l.fresh:
		l.ask(now)
	case slower > slowdown:
		l.fall(slower)
	case slower > eased, l.limit == l.most:
	case now.Sub(l.aloneAt) > aloneFor:
		l.ask(now)
	default:
		l.rise(slower)
	}
	if mean < l.alone {
		l.alone += (mean - l.alone) / 4 // not all: the luckiest of many samples is too quick
	}
}

func (l *Limiter) fall(slower float64) {
	l.settled, l.fresh = true, false
	l.tooHigh = l.limit
	l.resting = min(max(2*l.resting, leastRest), mostRest)
	l.rest = l.resting
	l.limit = max(1, min(l.limit-1, int(float64(l.limit)*slowdown/slower)))
}

func (l *Limiter) rise(slower float64) {
	next := l.limit + max(1, l.limit/10)
	if !l.settled && slower < math.Sqrt(slowdown) {
		next = 2 * l.limit
	}
	if next = min(next, l.most); l.tooHigh > 0 && next >= l.tooHigh {
		if l.rest--; l.rest > 0 {
			return
		}
	}
	if l.limit >= l.tooHigh {
		l.tooHigh, l.resting = 0, 0 // it is not any more
	}
	l.limit = next
}
