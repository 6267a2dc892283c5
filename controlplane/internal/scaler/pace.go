package scaler

import (
	"math"
	"time"
)

// A Pace is how long requests take on one instance: the mean of their logarithms, so that a few very long ones do not sway it.
type Pace struct{ n, sum, squares float64 }

// Add takes in a request; each that came before counts for a little less, by keep.
func (p *Pace) Add(took time.Duration, keep float64) {
	v := math.Log(float64(max(took, time.Microsecond)))
	p.n, p.sum, p.squares = p.n*keep+1, p.sum*keep+v, p.squares*keep+v*v
}

// What makes an instance slow: its requests take so many times longer than those of all, in the mean, and by so many standard
// errors that one in ten thousand instances seems so by chance.
const (
	slowTimes  = 1.7
	slowErrors = 3.7
	slowEnough = 5 // requests of the instance
	slowOthers = 2 // times as many of all
)

// KeepOwn is how fast the pace of an instance forgets: after some 30 requests.
const KeepOwn = 0.97

// KeepAll is how fast that of so many instances forgets: within the same time.
func KeepAll(instances int) float64 { return 1 - (1-KeepOwn)/float64(max(1, instances)) }

// SlowerThan reports whether the instance seems slow beside all. Requests may have come to it that are longer by themselves.
func (p *Pace) SlowerThan(all *Pace) bool {
	if p.n < slowEnough || all.n < slowOthers*p.n {
		return false
	}
	spread := math.Sqrt(max(0.01, all.variance()))
	more := p.sum/p.n - all.sum/all.n
	return more > math.Log(slowTimes) && more > slowErrors*spread/math.Sqrt(p.n)
}

// A Verdict is what a comparison shows.
type Verdict uint8

// Verdicts.
const (
	Open   Verdict = iota // more must be seen
	Alike                 // or the difference does not matter
	Slower                // the first is slow
)

// What a comparison needs of each: so many requests to call it slower, and so many to give up.
const (
	compareLeast = 8
	compareMost  = 60
)

// Compare tells whether requests take longer by a factor that matters on one side of a trial, where chance alone has sent them to
// the sides.
func Compare(own, others *Pace) Verdict {
	n := min(own.n, others.n)
	if n < compareLeast {
		return Open
	}
	more := own.sum/own.n - others.sum/others.n
	spread := math.Sqrt(max(0.01, own.variance(), others.variance()) * (1/own.n + 1/others.n))
	switch {
	case more > math.Log(slowTimes) && more > slowErrors*spread:
		return Slower
	case n >= compareMost || more+2*spread < math.Log(slowTimes):
		return Alike
	default:
		return Open
	}
}

func (p *Pace) variance() float64 {
	mean := p.sum / p.n
	return p.squares/p.n - mean*mean
}
