package scaler

import (
	"math"
	"time"
)

// FirstSlots is how many requests an instance gets at once before anything is known about its app. An app that waits for other
// services can serve more. One that computes takes as long in total as one request after the other would, so that a guess that is
// too high costs time but no money.
const FirstSlots = 8

// How a Limiter judges.
const (
	limitSample = 200  // requests in a sample at the limit
	aloneSample = 100  // requests in a sample of requests that are alone
	limitEnough = 0.95 // the share of a sample that must have ended: the longest requests may take very long
	// slowdown is how many times longer than alone requests may take. Beyond it an app that computes gets no more work done in
	// total, however many requests it has. An app that waits for other services never gets there.
	slowdown = 1.7
	eased    = 0.9 * slowdown // below this slowdown the limit may rise
	loaded   = 0.8            // requests that began beside less than this share of the limit say nothing about it
	// aloneFor is how long a measurement of requests alone is good enough to raise the limit. Before the limit falls it is
	// repeated, because the app may have become slower for other reasons.
	aloneFor = 10 * time.Minute
	// sampleFor bounds how long a sample may take, because a request that does not end, such as a stream, would hold it up.
	sampleFor = 10 * time.Minute
	// A limit that was too high is tried again after leastRest samples, then after twice as many each time, up to mostRest.
	leastRest, mostRest = 4, 64
)

// A Limiter learns how many requests an instance should serve at once, by comparing how long they take beside others and alone. Its
// limit begins at FirstSlots, rises while requests hardly take longer, quickly at first, and falls when they do. It never exceeds
// the cap. Envoy's adaptive concurrency filter compares with an unloaded latency in a similar way.
//
// When it is about to change the limit it asks for a measurement: one instance must serve one request at a time for a while. Times
// are compared by their geometric mean, so that a few very long requests do not matter much.
//
// A sample consists of requests that begin one after the other. The first requests to end would be the short ones, and mislead.
type Limiter struct {
	most    int
	limit   int
	settled bool // the limit was too high once, so steps are small

	alone   float64   // how long a request takes alone; like all times here, the logarithm of nanoseconds
	aloneAt time.Time // when alone was measured; zero: never
	fresh   bool      // alone was measured since the limit was last found too high
	asks    time.Time // since when it asks for requests alone; zero: it does not

	tooHigh int // the last limit that was too high; 0: none was
	rest    int // samples until tooHigh may be tried again
	resting int // the value that rest began with

	beside, single sample
}

// A sample is a number of requests that began one after the other.
type sample struct {
	number uint64 // tells its requests from those of earlier samples
	begun  int
	ended  int
	sum    float64
	since  time.Time
}

// NewLimiter returns a limiter with that cap, which has learned nothing.
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

// Asks reports whether an instance should serve one request at a time for now, as a yardstick for the others.
func (l *Limiter) Asks() bool { return !l.asks.IsZero() }

// Began says that a request has begun, and is one of among on its instance. single says that the instance serves one at a time. The
// result must be passed to Ended or Void; 0: the request is in no sample.
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

// Void takes a request out of its sample, because it is not known how long it would have taken.
func (l *Limiter) Void(number uint64) {
	for _, s := range []*sample{&l.beside, &l.single} {
		if s.number == number {
			s.begun--
		}
	}
}

// end adds how long a request took. If that completes the sample, it returns the mean, and the next sample begins.
func (s *sample) end(took time.Duration, size int) (mean float64, complete bool) {
	s.sum += math.Log(float64(max(took, 1)))
	if s.ended++; float64(s.ended) < float64(size)*limitEnough {
		return 0, false
	}
	mean = s.sum / float64(s.ended)
	s.restart()
	return mean, true
}

// restart begins another sample. Numbers of one kind of sample are odd, those of the other even.
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
		l.asks = time.Time{} // it asks again when it is about to change the limit
	}
	return l.limit != limit || l.Asks() != asks
}

// measure sets how long a request takes alone.
func (l *Limiter) measure(now time.Time, mean float64) {
	if math.Abs(mean-l.alone) > math.Ln2 {
		l.tooHigh, l.resting = 0, 0 // the app behaves otherwise than before
	}
	l.alone, l.aloneAt, l.fresh, l.asks = mean, now, true, time.Time{}
	l.beside.restart()
}

// ask begins to ask for requests that are alone.
func (l *Limiter) ask(now time.Time) {
	if !l.Asks() {
		l.asks = now
		l.single.restart()
	}
}

func (l *Limiter) judge(now time.Time, mean float64) {
	if l.limit == 1 { // all requests are alone
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
		l.alone += (mean - l.alone) / 4 // not at once: the luckiest of many samples is too fast
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
		l.tooHigh, l.resting = 0, 0 // it is not too high any more
	}
	l.limit = next
}
