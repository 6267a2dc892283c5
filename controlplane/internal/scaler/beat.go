package scaler

import (
	"math"
	"time"
)

// What counts as a crowd, and as a beat of crowds.
const (
	crowdLeast  = 8                      // requests, within
	crowdWithin = 40 * time.Millisecond  // after a pause as long as they took, and so many
	crowdTimes  = 4                      // times as fast as usual
	crowdFor    = 400 * time.Millisecond // is looked at how need rises, from its first request on
	mostNeed    = 1000                   // instances
	beatAfter   = 3                      // crowds
	inStep      = 30 * time.Millisecond  // by so much may pauses between them differ
	usualMemory = 5 * time.Second
	// leadTimes is how many times longer than usual a warm start takes at most, nearly always.
	leadTimes = 1.3
	// held is how long what was started for a crowd is kept for it.
	held = 30 * time.Millisecond
)

// A Beat foresees crowds that come at regular times: every second, every minute, whatever cron says. From the crowds before it knows
// when the next one begins, and how need rises from then on.
type Beat struct {
	came     [crowdLeast + 1]time.Time // the last requests, in turn
	arrivals uint64
	usual    forgetful // requests and seconds
	at       time.Time
	needed   int

	now    crowd   // under way; no onset: none is
	before []crowd // at most beatAfter, oldest first; of one beat, as far as they go
}

// A crowd is when it began, how long after that each number of instances was needed, and for how long.
type crowd struct {
	onset time.Time
	rises []time.Duration
	work  time.Duration // of its instances, as long as it was looked at
}

// Observe takes in that so many requests have come by now, and that so many instances are needed.
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
		b.before = b.before[:0] // it has not come
	}
}

// begin looks whether the request that has just come is one of a crowd.
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

// finish adds the crowd to those before, if it is in step with them.
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

// next is when the next crowd begins.
func (b *Beat) next() time.Time {
	first, last := b.before[0].onset, b.before[len(b.before)-1].onset
	return last.Add(last.Sub(first) / time.Duration(max(1, len(b.before)-1)))
}

// slack is by how much the next crowd may come earlier or later, as the pauses before it differ.
func (b *Beat) slack() time.Duration {
	n := len(b.before)
	if n < beatAfter {
		return 0
	}
	return (b.before[n-1].onset.Sub(b.before[n-2].onset) - b.before[n-2].onset.Sub(b.before[n-3].onset)).Abs()
}

// worth reports whether instances that are up before a crowd cost at most that part of what it costs anyway.
func (b *Beat) worth(start time.Duration, most float64) bool {
	last := b.before[beatAfter-1]
	n := float64(len(last.rises))
	return n*(leadTimes-1)*float64(start) <= most*(float64(last.work)+n*float64(start))
}

// Expect is how many instances should be up or on their way for a crowd, if a start takes so long and being early may cost that part
// of the crowd's bill, and when that changes; zero: not in sight.
func (b *Beat) Expect(now time.Time, start time.Duration, most float64) (instances int, changes time.Time) {
	if n := len(b.before); n >= beatAfter-1 && !b.now.onset.IsZero() { // it may make a beat, and nothing else may happen until the next
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
