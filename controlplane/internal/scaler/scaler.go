// Package scaler decides how many instances a function should have, and when a start must wait. It is pure: time is an
// argument, nothing blocks, and nothing but a Budget is safe for concurrent use.
//
// Policy and mechanism are apart. A Policy looks at a State and says what it would like (Want); Guards say how much of
// that may happen now, whatever the policy; the pool carries it out. A new policy can therefore be wrong about latency
// and cost, but it cannot make starts run away.
package scaler

import "time"

// Settings bound and shape the instances of one function.
type Settings struct {
	Min int // instances kept ready
	// Max bounds the instances that exist, draining ones included; only rotation may exceed it, by Surge. With 0 nothing
	// is ever started.
	Max              int
	StartsInProgress int           // starts not yet up, at most; with 0 nothing is ever started
	StartsPerSecond  float64       // refill of the token bucket that every start draws on
	StartsBurst      int           // size of that bucket
	IdleAfter        time.Duration // capacity that was surplus for this long drains
	Policy           Policy        // nil: FollowDemand
	DollarsPerHour   float64       // what all instances may cost together; 0: no ceiling
	Total            *Budget       // what they may cost together with those of other functions; nil: no ceiling
	Price            Price         // of an instance
}

// Surge is by how many instances rotation may exceed Max, so that a replacement can serve before the old instance
// stops: a quarter of Max, at least one.
func (s Settings) Surge() int { return max(1, s.Max/4) }

// Never reports whether these settings forbid all starts: peers come by themselves, or not at all.
func (s Settings) Never() bool { return s.Max <= 0 || s.StartsInProgress <= 0 || s.StartsBurst <= 0 }

// A State is what a policy may look at. Ready, Starting, Rotating and Unreplaced count instances; Waiting, Free and Peak
// count requests and slots.
type State struct {
	Min, Max    int
	Concurrency int // slots of one instance
	Waiting     int
	Free        int
	Ready       int // rotating ones included
	Starting    int
	Rotating    int // ready, but near the end of their lifetime
	Unreplaced  int // of those, the ones with no replacement on its way
	Peak        int // the most that was in flight and waiting, together, in the last IdleAfter
}

// A Want is what a policy would like to happen. No field is negative.
type Want struct {
	Start   int // new instances, for waiters or for Min
	Replace int // more of them, each in place of an unreplaced rotating one
	Drain   int // ready instances that are surplus
}

// A Policy says how many instances to start and to drain. It is called after every event that may change the answer, so
// it must be quick, and it must not want again what it already sees in State.Starting.
type Policy func(State) Want

// FollowDemand starts one instance per Concurrency waiters, less what is already on the way, keeps Min, replaces what is
// still needed, and gives up what the last IdleAfter did not need.
func FollowDemand(s State) Want {
	keep := min(max(s.Min, ceilDiv(s.Peak, s.Concurrency)), s.Max)
	uncovered := s.Waiting - s.Free - s.Starting*s.Concurrency
	start := max(0, ceilDiv(uncovered, s.Concurrency), min(s.Min, s.Max)-s.Ready-s.Starting)
	lasting := s.Ready - s.Rotating + s.Starting + start
	w := Want{Start: start, Replace: min(max(0, keep-lasting), s.Unreplaced)}
	if s.Waiting == 0 {
		w.Drain = max(0, s.Ready-keep)
	}
	return w
}

// ceilDiv is n/d rounded up, and 0 for negative n.
func ceilDiv(n, d int) int {
	if n <= 0 {
		return 0
	}
	return (n + d - 1) / d
}
