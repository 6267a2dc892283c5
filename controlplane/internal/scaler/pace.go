package scaler

import (
	"math"
	"time"
)

// A Pace is how long requests take, for example on one instance. It keeps mean and variance of their logarithms, so that a few very
// long ones do not matter much.
type Pace struct{ n, sum, squares float64 }

// Add adds a request. Earlier ones are weighted by keep, from 0 to 1.
func (p *Pace) Add(took time.Duration, keep float64) {
	v := math.Log(float64(max(took, time.Microsecond)))
	p.n, p.sum, p.squares = p.n*keep+1, p.sum*keep+v, p.squares*keep+v*v
}

// What makes an instance slow: its requests take slowTimes longer than those of all, and the difference is slowErrors standard
// errors, which one in ten thousand instances reaches by chance.
const (
	slowTimes  = 1.7
	slowErrors = 3.7
	slowEnough = 5 // requests of the instance that are needed
	slowOthers = 2 // how many times as many are needed of all instances
)

// Few reports whether an instance has answered too few requests to be judged by them.
func (p *Pace) Few() bool { return p.n < slowEnough }

// KeepOwn is the keep for the Pace of one instance. It forgets within some 30 requests.
const KeepOwn = 0.97

// KeepAll is the keep for the Pace of all instances. It forgets within the same time as that of one.
func KeepAll(instances int) float64 { return 1 - (1-KeepOwn)/float64(max(1, instances)) }

// SlowerThan reports whether an instance seems slow compared with all. It may just have got requests that take longer.
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
	Open   Verdict = iota // more requests are needed
	Alike                 // there is no difference, or none that matters
	Slower                // the first is slower
)

// How many requests of each side a comparison needs to find a difference, and after how many it finds none.
const (
	CompareLeast = 8
	compareMost  = 60
)

// Compare tells whether requests of one side of a trial take slowTimes longer than those of the other. Chance must have assigned
// the requests to the sides.
func Compare(own, others *Pace) Verdict {
	n := min(own.n, others.n)
	if n < CompareLeast {
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
