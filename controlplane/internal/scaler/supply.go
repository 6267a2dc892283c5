package scaler

import (
	"math"
	"time"
)

// A start is worth the requests that it serves once it is up. Slots that are free by then compete with it: slots of ready
// instances, of starts in progress, and of environments that are about to freeze. docs/scaling.md has the reasoning.

// assumedService is how long requests take before that is known. With short starts the value matters little. With long ones a
// larger value would make a start for each request that waits.
const assumedService = 350 * time.Millisecond

// starts is how many instances to start for waiters, for headroom and for requests that are about to come.
func (f *frugal) starts(now time.Time, s *State, head int) int {
	s.Fleet.expect(now)
	warm := f.warmStarts(now, s, head)
	return warm + f.coldStarts(now, s, head, warm)
}

// warmStarts is how many starts in frozen environments are worth it. Only other warm starts, and slots that are given back while
// waiters have patience, are there as soon.
func (f *frugal) warmStarts(now time.Time, s *State, head int) int {
	spare := s.Fleet.Spare(now)
	if spare == 0 {
		return 0
	}
	lead := s.Fleet.Warm.Mean(assumedWarm)
	short := float64(s.Waiting+head-s.Free-(s.Starting-s.Fleet.cold.n-s.Fleet.lost.n)*s.Concurrency) - f.givenBack(now, s, lead)
	if s.demand() > 0 { // without demand, nothing is left of what came until now
		short += math.Floor(f.tuning.Rise * f.flow.Rise(s.demand(), lead))
	}
	return min(ceilDiv(int(short), s.Concurrency), spare)
}

// coldStarts is how many starts in new environments are worth it, beside the warm ones. They are for requests that already wait: what
// comes in the next moment says little about the time that they take, and to start a moment sooner spares little of it.
func (f *frugal) coldStarts(now time.Time, s *State, head, warm int) int {
	soon := s.Starting - s.Fleet.lost.n + warm
	if s.Waiting == 0 {
		return ceilDiv(head-s.Free-soon*s.Concurrency, s.Concurrency)
	}
	lead := s.Fleet.lead(now)
	if f.settlesWithin(s, lead) {
		soon += s.Fleet.settling.n
	}
	short := f.pressing(now, s, lead) + float64(head-s.Free-soon*s.Concurrency)
	if short <= 0 {
		return 0
	}
	short -= f.givenBack(now, s, lead)
	return ceilDiv(int(min(short, f.lasting(now, s, lead, warm))), s.Concurrency)
}

// settlesWithin reports whether an environment that is about to freeze can be up again before a new one is. Decide is called again
// when it is frozen.
func (f *frugal) settlesWithin(s *State, lead time.Duration) bool {
	return s.Fleet.finish.Mean(assumedFinish)+s.Fleet.Warm.Mean(assumedWarm) < lead
}

// givenBack is how many of the leased slots will be given back while waiters have patience. It is 0 once the oldest has waited for
// that long.
func (f *frugal) givenBack(now time.Time, s *State, lead time.Duration) float64 {
	patience := min(f.tuning.Patience, lead)
	if s.Waiting == 0 || patience == 0 {
		return 0
	}
	if left := patience - s.waited(now); left > 0 {
		f.next = sooner(f.next, now.Add(left))
		return math.Floor(f.flow.Freed(s.Leased, patience))
	}
	return 0
}

// pressing is how many slots the waiters need, so that they are served as fast as they came, and so that the backlog is served
// within the time of a start. Once they have waited for longer than a request takes, that is fewer than wait, because one slot
// serves several of them.
func (f *frugal) pressing(now time.Time, s *State, lead time.Duration) float64 {
	waited := s.waited(now)
	if s.Waiting < 2 || waited <= f.service {
		return float64(s.Waiting)
	}
	slots := float64(s.Waiting-1) * float64(f.service) / float64(waited)
	if f.known {
		slots *= 1 + min(1, float64(waited)/float64(lead))
	}
	return min(max(1, slots), float64(s.Waiting))
}

// lasting is how many requests would still wait when a cold start made now is up, if it were not made. If none would, the start
// helps no request. If that cannot be said, lasting is infinite.
func (f *frugal) lasting(now time.Time, s *State, lead time.Duration, warm int) float64 {
	if !f.known {
		return math.Inf(1)
	}
	service, until := max(f.service, time.Microsecond).Seconds(), lead.Seconds()
	left := float64(s.Waiting-s.Free) + max(f.flow.Lately(), f.flow.Evident())*until
	if quiet := f.flow.Quiet(); now.Before(quiet) {
		f.next = sooner(f.next, quiet)
		left -= float64(s.Leased) * until / service
	}
	cold := float64(s.Fleet.cold.n) + min(s.Fleet.cold.ages(now), float64(s.Fleet.cold.n)*until)/service
	others := float64(s.Starting-s.Fleet.cold.n-s.Fleet.lost.n+warm) * (1 + until/service)
	return left - float64(s.Concurrency)*(cold+others)
}

// demandUnqueued is how many requests would be in flight if none had to wait. The backlog of a slow start is not demand.
func (f *frugal) demandUnqueued(now time.Time, s *State) int {
	waited := s.waited(now)
	if waited > 0 && !f.known {
		return s.Leased + s.Foreign // a guess about the waiters would be remembered for long
	}
	if waited <= 0 {
		return s.taken()
	}
	covered := min(1, float64(f.service)/float64(waited))
	leased := float64(s.Leased) * max(0, 1-float64(waited)/float64(max(f.service, 1)))
	return int(math.Ceil(float64(s.Waiting)*covered+leased)) + s.Foreign
}
