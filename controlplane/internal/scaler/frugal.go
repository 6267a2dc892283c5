package scaler

import (
	"math"
	"time"
)

// frugal is the rule of Frugal. An idle environment is free, an idle instance is billed by the millisecond, and a warm start costs
// some ten milliseconds of waiting and of bill. So frugal drains idle instances almost at once, counts on frozen environments, and
// starts an instance for waiters only if it will be there before a slot becomes free. docs/scaling.md has the numbers.
type frugal struct {
	tuning   Tuning
	most     int // starts in progress; 0: no limit
	flow     Flow
	service  time.Duration // how long a request takes, while some wait
	known    bool          // service is known, not guessed
	keeper   Keeper
	ledger   Ledger
	beat     Beat
	foreseen int           // instances that the next crowd of a beat needs by now
	changes  time.Time     // when foreseen changes; zero: nothing is foreseen
	lapses   time.Time     // when fewer instances may be kept; zero: not without an event
	peaks    Peaks         // of demand
	idle     bool          // an instance may become surplus without an event
	calm     time.Time     // the reserve is not filled before
	pace     time.Duration // between attempts to fill the reserve
	again    time.Time     // the next attempt
	next     time.Time     // when it may want a start
	fleet    *Fleet        // nil unless requests wait; knows when a start will be overdue
}

// Frugal returns the policy with that tuning.
func Frugal(t Tuning) Policy {
	return func(s Settings) Rule {
		return &frugal{tuning: t, most: s.StartsInProgress, keeper: NewKeeper()}
	}
}

// longestKeep is the longest time that an idle instance is kept.
const longestKeep = 850 * time.Millisecond

// calmAfter is how long no request must have waited for a new environment before the reserve is filled. The reserve is not urgent,
// and a burst may go on.
const calmAfter = 5 * time.Second

// attemptsAfter is the time between attempts to fill the reserve. It doubles while they fail, because Lambda may refuse new
// environments, and each attempt also starts all frozen ones.
const attemptsAfter = 10 * time.Second

// Decide implements Rule.
func (f *frugal) Decide(now time.Time, s *State) Want {
	f.flow.Observe(now, s)
	f.ledger.Observe(now, s)
	if s.Waiting > 0 {
		f.service, f.known = f.flow.Usual()
	}
	f.peaks.Observe(now, f.demandUnqueued(now, s))
	f.foresee(now, s)
	f.idle = s.Idle > 0 && s.Ready > s.Min
	f.next, f.fleet = time.Time{}, nil

	head := f.headroom(s)
	keep := min(max(s.Min, f.keep(now, s, head), f.foreseen), s.Max)
	ahead := min(f.foreseen-s.Ready-s.Starting, s.Fleet.Spare(now))
	var w Want
	if s.Waiting > 0 {
		w.start(f.starts(now, s, head), ForWaiters)
	} else {
		w.start(f.starts(now, s, head), ForHeadroom)
	}
	w.start(ahead, ForBeat)
	w.start(min(s.Min, s.Max)-s.Ready-s.Starting, ForMin)
	w.Replace = s.replace(keep, w.Start)
	if s.Waiting > 0 {
		if s.Fleet.Frozen(now) == 0 {
			f.calm = now.Add(calmAfter)
		}
		f.fleet = s.Fleet
		return w
	}
	w.Drain = min(s.Idle, max(0, s.Ready-keep))
	if w.Start == 0 && w.Replace == 0 {
		w.start(f.reserve(now, s), ForReserve)
	}
	return w
}

// foresee looks ahead to the next crowd of a beat.
func (f *frugal) foresee(now time.Time, s *State) {
	if f.foreseen, f.changes = 0, (time.Time{}); f.tuning.Foresee <= 0 {
		return
	}
	f.beat.Observe(now, s.Arrivals, ceilDiv(s.taken(), s.Concurrency))
	if !s.Failing && !s.Unreachable && !s.Renewing {
		f.foreseen, f.changes = f.beat.Expect(now, s.Fleet.Warm.Mean(assumedWarm), f.tuning.Foresee)
	}
}

// keep is how many instances demand needs, or needed a moment ago.
func (f *frugal) keep(now time.Time, s *State, head int) int {
	restart := time.Duration(f.tuning.Restart*float64(s.Fleet.Warm.Mean(assumedWarm))) + s.Fee
	f.keeper.Observe(now, ceilDiv(s.taken()+head, s.Concurrency), restart)
	var kept int
	kept, f.lapses = f.keeper.Kept(now, func(n int) time.Duration { return f.span(n, restart) })
	if !f.lapses.IsZero() {
		f.lapses = sooner(f.lapses, f.ledger.Turns())
	}
	if head > 0 { // it falls with time, without an event
		f.lapses = sooner(f.lapses, now.Add(rateMemory))
	}
	return kept
}

// span is how long to keep the nth instance while it is idle.
func (f *frugal) span(n int, restart time.Duration) time.Duration {
	switch {
	case f.ledger.Dearer():
		return 0
	case f.tuning.Learn:
		return min(f.keeper.Span(n, restart), longestKeep)
	default:
		return min(restart, longestKeep)
	}
}

// headroom is how many slots to keep free, so that demand seldom rises beyond them during a warm start. It is at most a small
// share of the requests in flight.
func (f *frugal) headroom(s *State) int {
	warm := s.Fleet.Warm.Mean(assumedWarm)
	moves := f.flow.Rate()*warm.Seconds() + f.flow.Freed(s.Leased, warm)
	return int(min(f.tuning.Sigmas*math.Sqrt(moves), f.tuning.Headroom*f.flow.InFlight()))
}

// Next implements Rule. It considers starts that were made since Decide.
func (f *frugal) Next() time.Time {
	next := sooner(f.next, f.changes)
	if f.fleet != nil {
		next = sooner(next, f.fleet.expires())
	}
	if f.idle {
		next = sooner(next, f.lapses)
	}
	return next
}
