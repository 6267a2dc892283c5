package scaler

import (
	"math"
	"time"
)

// Supply is worth what it serves, from when it is there. A start that would be made now competes with slots that will be
// free by then: those of instances that are ready, of starts on their way, and of environments that are about to freeze.
// docs/scaling.md has the reasoning in words.

// assumedService is how long requests take while nobody knows. A start of a second or two is hardly longer, so that it
// matters little then; with a long one, assuming more would make a start for each request that waits.
const assumedService = 350 * time.Millisecond

// starts is how many instances to start for waiters, for headroom and for those who are about to come.
func (f *frugal) starts(now time.Time, s *State, head int) int {
	s.Fleet.expect(now)
	warm := f.warmStarts(now, s, head)
	return warm + f.coldStarts(now, s, head, warm)
}

// warmStarts is how many of them find a frozen environment, and are worth it: nothing else on its way is as soon, but
// for what is given back while a waiter has patience, and for other warm starts.
func (f *frugal) warmStarts(now time.Time, s *State, head int) int {
	spare := s.Fleet.Spare(now)
	if spare == 0 {
		return 0
	}
	lead := s.Fleet.Warm.Mean(assumedWarm)
	short := float64(s.Waiting+head-s.Free-(s.Starting-s.Fleet.cold.n-s.Fleet.lost.n)*s.Concurrency) - f.givenBack(now, s, lead)
	if s.demand() > 0 { // what came until now came to an end otherwise
		short += math.Floor(f.tuning.Rise * f.flow.Rise(s.demand(), lead))
	}
	return min(ceilDiv(int(short), s.Concurrency), spare)
}

// coldStarts is how many must be in new environments, beside those warm ones. They take so long that nothing can be said
// about the requests until then: they are for those who wait already, and for who comes beside them.
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
	short += math.Floor(f.tuning.Rise*f.flow.Rise(s.demand(), lead)) - f.givenBack(now, s, lead)
	return ceilDiv(int(min(short, f.lasting(now, s, lead, warm))), s.Concurrency)
}

// settlesWithin reports whether an environment that is about to freeze will be up again before a new one. Decide is asked
// again when it is frozen.
func (f *frugal) settlesWithin(s *State, lead time.Duration) bool {
	return s.Fleet.finish.Mean(assumedFinish)+s.Fleet.Warm.Mean(assumedWarm) < lead
}

// givenBack is how many of the leased slots will be given back while waiters have patience. They have none left once the
// oldest has waited for so long.
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

// pressing is how many slots those who wait need, so that they are served as fast as they came, and those who have
// gathered meanwhile within as long as a start takes. It is fewer than wait once they have waited for longer than a
// request takes: one slot serves several of them.
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

// lasting is how many requests will wait when a start in a new environment is up, those who come until then included, if
// none is made: when it is none, the start would bring nobody forward. Where that cannot be said it is infinite.
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

// crowd is how many requests would be in flight if nobody had to wait: the backlog of a slow start is no demand.
func (f *frugal) crowd(now time.Time, s *State) int {
	waited := s.waited(now)
	if waited > 0 && !f.known {
		return s.Leased + s.Foreign // what the guess makes of those who wait would be remembered for long
	}
	if waited <= 0 {
		return s.taken()
	}
	covered := min(1, float64(f.service)/float64(waited))
	leased := float64(s.Leased) * max(0, 1-float64(waited)/float64(max(f.service, 1)))
	return int(math.Ceil(float64(s.Waiting)*covered+leased)) + s.Foreign
}
