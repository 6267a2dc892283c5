package scaler

import "math"

// Outcomes are how many answers there were, and how many of them were errors.
type Outcomes struct{ N, Errors uint64 }

// Add counts answers.
func (o *Outcomes) Add(more Outcomes) { o.N, o.Errors = o.N+more.N, o.Errors+more.Errors }

// Sub takes away what was added.
func (o *Outcomes) Sub(less Outcomes) { o.N, o.Errors = o.N-less.N, o.Errors-less.Errors }

// Share is the part of the answers that were errors.
func (o *Outcomes) Share() float64 { return float64(o.Errors) / float64(max(1, o.N)) }

// lately bounds what is remembered of earlier answers.
const lately = 64

// Fade forgets all but the latest answers, about.
func (o *Outcomes) Fade() {
	for o.N > lately {
		o.N, o.Errors = o.N/2, o.Errors/2
	}
}

// What makes errors the fault of one side: it has that many more of them, as a share of its answers, and by that many standard errors.
const (
	faultLeast  = 8 // errors of the one side, and answers of the other, that are needed
	faultMore   = 0.1
	faultErrors = 3.7
)

// Few reports whether there are too few answers to compare others with them.
func (o *Outcomes) Few() bool { return o.N < faultLeast }

// Mostly reports whether half of the answers or more are errors, and not just a few.
func (o *Outcomes) Mostly() bool { return o.Errors >= faultLeast && 2*o.Errors >= o.N }

// WorseThan reports whether a larger share of the answers of one side are errors than chance explains. It may just have got the
// requests that fail anywhere.
func (o *Outcomes) WorseThan(others Outcomes) bool {
	if o.Errors < faultLeast || others.Few() {
		return false
	}
	n, m := float64(o.N), float64(others.N)
	more := float64(o.Errors)/n - float64(others.Errors)/m
	share := float64(o.Errors+others.Errors) / (n + m)
	return more > faultMore && more > faultErrors*math.Sqrt(share*(1-share)*(1/n+1/m))
}

// MoreErrorsThan reports whether one side has more errors than the other if it got at most half of the requests, by chance.
func (o *Outcomes) MoreErrorsThan(others Outcomes) bool {
	own, theirs := float64(o.Errors), float64(others.Errors)
	return own-theirs > faultErrors*math.Sqrt(own+theirs)
}
