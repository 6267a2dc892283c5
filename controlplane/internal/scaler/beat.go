package scaler

import (
	"math"
	"time"
)

// What counts as a crowd, and as a beat of crowds. A crowd is crowdLeast requests within crowdWithin, after a pause at least as
// long as they took, that come at crowdTimes the usual rate or faster.
const (
	crowdLeast  = 8
	crowdWithin = 40 * time.Millisecond
	crowdTimes  = 4
	crowdFor    = 400 * time.Millisecond // how long after its first request the need of a crowd is recorded
	mostNeed    = 1000                   // instances recorded of a crowd
	beatAfter   = 3                      // crowds in step that make a beat
	inStep      = 30 * time.Millisecond  // how much pauses between crowds in step may differ
	usualMemory = 5 * time.Second        // of the usual rate
	// leadTimes is how many times longer than usual a warm start takes at most, nearly always.
	leadTimes = 1.3
	// held is how long an instance that was started for a crowd is kept for it.
	held = 30 * time.Millisecond
)

// A Beat foresees crowds that come at regular times, as cron jobs and schedulers make them: every second, every minute. From past
// crowds it knows when the next one begins, and how many instances it needs from then on.
type Beat struct {
	came     [crowdLeast + 1]time.Time // when the last requests came; a ring
	arrivals uint64
	usual    forgetful // requests
	at       time.Time
	needed   int

	now    crowd   // the crowd under way; zero onset: none is
	before []crowd // the last crowds that are in step, oldest first; at most beatAfter
}

// A crowd is what was recorded of a crowd of requests.
type crowd struct {
	onset time.Time
	rises []time.Duration // from onset until one, two, ... instances were needed
	work  time.Duration   // instance time that it used within crowdFor
}

// Observe says how many requests have come so far, and how many instances are needed now.
func (b *Beat) Observe(now time.Time, arrivals uint64, needed int) {
	if b.at.IsZero() {
		b.at, b.arrivals = now, arrivals
	}
	if !b.now.onset.IsZero() {
		until := b.now.onset.Add(crowdFor)
		b.now.work += time.Duration(b.needed) * max(0, min(now.Sub(b.at), until.Sub(b.at)))
		if now.After(until) {
			b.finish()
		}
	}
	for ; b.arrivals < arrivals; b.arrivals++ {
		b.came[b.arrivals%(crowdLeast+1)] = now
		b.begin(now)
	}
	seconds := now.Sub(b.at).Seconds()
	b.usual.pass(seconds, math.Exp(-seconds/usualMemory.Seconds()))
	if !b.now.onset.IsZero() {
		for n := len(b.now.rises); n < min(needed, mostNeed); n++ {
			b.now.rises = append(b.now.rises, now.Sub(b.now.onset))
		}
	}
	b.at, b.needed = now, needed
	if len(b.before) > 0 && b.now.onset.IsZero() && b.known() && now.After(b.next().Add(b.slack()+crowdWithin+held)) {
		b.before = b.before[:0] // the expected crowd has not come
	}
}

// begin begins a crowd if the request that has just come makes one.
func (b *Beat) begin(now time.Time) {
	before, first := b.came[(b.arrivals+1)%(crowdLeast+1)], b.came[(b.arrivals+2)%(crowdLeast+1)]
	b.usual.sum++
	if !b.now.onset.IsZero() || first.IsZero() {
		return
	}
	took := now.Sub(first)
	if first.Sub(before) > took && took <= crowdWithin && took.Seconds()*b.usual.rate()*crowdTimes <= crowdLeast {
		b.now = crowd{onset: first}
	}
}

// finish adds the crowd to those before. If it is not in step with them, only the last of them is kept.
func (b *Beat) finish() {
	if n := len(b.before); n >= 2 {
		last, other := b.now.onset.Sub(b.before[n-1].onset), b.before[n-1].onset.Sub(b.before[n-2].onset)
		if (last - other).Abs() > inStep {
			b.before = b.before[n-1:]
		}
	}
	b.before = append(b.before, b.now)
	b.before = b.before[max(0, len(b.before)-beatAfter):]
	b.now = crowd{}
}

// known reports whether the crowds make a beat.
func (b *Beat) known() bool { return len(b.before) == beatAfter }

// next is when the next crowd should begin.
func (b *Beat) next() time.Time {
	first, last := b.before[0].onset, b.before[len(b.before)-1].onset
	return last.Add(last.Sub(first) / time.Duration(max(1, len(b.before)-1)))
}

// slack is how much earlier or later the next crowd may come: as much as the last two pauses differ.
func (b *Beat) slack() time.Duration {
	n := len(b.before)
	if n < beatAfter {
		return 0
	}
	return (b.before[n-1].onset.Sub(b.before[n-2].onset) - b.before[n-2].onset.Sub(b.before[n-3].onset)).Abs()
}

// worth reports whether being up before a crowd costs at most the share most of what the crowd costs anyway.
func (b *Beat) worth(start time.Duration, most float64) bool {
	last := b.before[beatAfter-1]
	n := float64(len(last.rises))
	return n*(leadTimes-1)*float64(start) <= most*(float64(last.work)+n*float64(start))
}

// Expect is how many instances should be up or starting for a crowd, and when that number changes; zero: not in sight. start is how
// long a start takes, and most the share of the crowd's bill that being early may cost.
func (b *Beat) Expect(now time.Time, start time.Duration, most float64) (instances int, changes time.Time) {
	if n := len(b.before); n >= beatAfter-1 && !b.now.onset.IsZero() { // a beat may just have begun, and without a timer nothing may happen before the next crowd
		changes = b.now.onset.Add(max(crowdFor+1, b.now.onset.Sub(b.before[n-1].onset)/2))
	}
	if !b.known() || !b.worth(start, most) {
		return 0, changes
	}
	onset, slack := b.next(), b.slack()
	if !b.now.onset.IsZero() {
		onset, slack = b.now.onset, 0
	}
	lead := time.Duration(leadTimes*float64(start)) + slack
	less, more := b.before[beatAfter-1].rises, b.before[beatAfter-2].rises
	if len(less) > len(more) {
		less, more = more, less
	}
	for n := range more {
		rise := onset.Add(more[n])
		if n < len(less) && less[n] < more[n] {
			rise = onset.Add(less[n])
		}
		switch from, until := rise.Add(-lead), rise.Add(slack+held); {
		case now.Before(from):
			return instances, sooner(changes, from)
		case now.Before(until):
			instances, changes = n+1, sooner(changes, until)
		}
	}
	return instances, changes
}
