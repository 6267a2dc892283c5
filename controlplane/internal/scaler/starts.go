package scaler

import (
	"slices"
	"time"
)

// What takes so many times as long as is usual is not what it was taken for.
const (
	overdueTimes = 4
	overdueLeast = 100 * time.Millisecond
)

// A Start is a start in progress, or an instance that is about to free its environment. Its holder hands it back to the
// fleet.
type Start struct {
	at        time.Time
	surprised bool   // it did not find one that it was counted on
	ends      bool   // it is no start, but an instance that was told to finish
	in        *batch // nil once nothing is expected of it
}

// A batch is what has begun and is not over. Its sums are kept, so that nobody need go through it.
type batch struct {
	n     int
	base  time.Time
	since float64  // sum of the beginnings, in seconds after base
	queue []*Start // by beginning; those that have left are skipped
}

func (b *batch) add(s *Start) {
	if b.n == 0 {
		clear(b.queue)
		b.base, b.since, b.queue = s.at, 0, b.queue[:0]
	}
	b.n++
	b.since += s.at.Sub(b.base).Seconds()
	s.in = b
	k := len(b.queue)
	for k > 0 && b.queue[k-1].at.After(s.at) {
		k--
	}
	b.queue = slices.Insert(b.queue, k, s)
}

func (b *batch) remove(s *Start) {
	b.n--
	b.since -= s.at.Sub(b.base).Seconds()
	s.in = nil
}

// oldest is what began first, of a batch that is not empty.
func (b *batch) oldest() *Start {
	for b.queue[0].in != b {
		b.queue = b.queue[1:]
	}
	return b.queue[0]
}

// newest is what began last; nil if there is none.
func (b *batch) newest() *Start {
	if b.n == 0 {
		return nil
	}
	k := len(b.queue) - 1
	for b.queue[k].in != b {
		k--
	}
	b.queue = b.queue[:k+1]
	return b.queue[k]
}

// due is the oldest if it has been under way for so long; nil if not.
func (b *batch) due(now time.Time, d time.Duration) *Start {
	if b.n == 0 {
		return nil
	}
	if s := b.oldest(); now.Sub(s.at) >= d {
		return s
	}
	return nil
}

// next is when the oldest will have been under way for so long; zero if there is none.
func (b *batch) next(d time.Duration) time.Time {
	if b.n == 0 {
		return time.Time{}
	}
	return b.oldest().at.Add(d)
}

// age is for how long the oldest is under way.
func (b *batch) age(now time.Time) time.Duration {
	if b.n == 0 {
		return 0
	}
	return now.Sub(b.oldest().at)
}

// ages is the sum of all ages, in seconds.
func (b *batch) ages(now time.Time) float64 {
	if b.n == 0 {
		return 0
	}
	return float64(b.n)*now.Sub(b.base).Seconds() - b.since
}

// Begin says that a start was made. It is expected to be warm if a frozen environment is there that no other start has
// claimed: Lambda makes a new one only when none is left. Over must follow.
func (f *Fleet) Begin(now time.Time) *Start {
	s := &Start{at: now}
	if f.Spare(now) > 0 {
		f.warm.add(s)
	} else {
		f.cold.add(s)
	}
	return s
}

// Settle says that an instance was told to finish: its environment will be frozen soon. Over must follow.
func (f *Fleet) Settle(now time.Time) *Start {
	s := &Start{at: now, ends: true}
	f.settling.add(s)
	return s
}

// Over says that a start has come up or failed, or that an environment has settled. It is harmless twice, and for nil.
func (f *Fleet) Over(now time.Time, s *Start) {
	if s == nil {
		return
	}
	if s.ends {
		s.ends = false
		f.finish.Add(min(now.Sub(s.at), longestFinish))
	}
	if s.in != nil {
		s.in.remove(s)
	}
	if s.surprised {
		s.surprised = false
		f.surprised--
	}
}

// move takes a start for another kind than before.
func (f *Fleet) move(s *Start, to *batch) {
	s.in.remove(s)
	to.add(s)
}

// Spare is how many environments are surely there for further starts.
func (f *Fleet) Spare(now time.Time) int { return max(0, f.Frozen(now)-f.warm.n) }

// expect takes starts that should have come up warm for cold ones, which makes doubtful what they had claimed, and does
// not count any more on cold ones that should have come up, nor on environments that should have settled.
func (f *Fleet) expect(now time.Time) {
	for s := f.warm.due(now, f.overdue()); s != nil; s = f.warm.due(now, f.overdue()) {
		f.surprise(now, s)
	}
	for s := f.cold.due(now, f.late()); s != nil && f.Known(); s = f.cold.due(now, f.late()) {
		f.move(s, &f.lost)
	}
	for s := f.settling.due(now, f.unsettled()); s != nil; s = f.settling.due(now, f.unsettled()) {
		f.settling.remove(s)
	}
}

// overdue is when a start is not taken for a warm one any more.
func (f *Fleet) overdue() time.Duration {
	return max(overdueLeast, overdueTimes*f.Warm.Mean(assumedWarm))
}

// late is when a start in a new environment is not counted on any more; each that is lost already makes the next one wait
// twice as long. It means nothing before one was seen.
func (f *Fleet) late() time.Duration {
	return max(overdueLeast, overdueTimes*f.Cold.Mean(0)<<min(f.lost.n, 8))
}

// unsettled is when an environment is not waited for any more that should be frozen.
func (f *Fleet) unsettled() time.Duration {
	return max(overdueLeast, overdueTimes*f.finish.Mean(assumedFinish))
}

// expires is when expect has work to do next; zero: never.
func (f *Fleet) expires() time.Time {
	next := sooner(f.warm.next(f.overdue()), f.settling.next(f.unsettled()))
	if f.Known() {
		next = sooner(next, f.cold.next(f.late()))
	}
	return next
}

// lead is how long a start takes in a new environment. One that takes longer just now tells so.
func (f *Fleet) lead(now time.Time) time.Duration {
	return max(f.Cold.Mean(assumedCold), f.cold.age(now))
}

// sooner is the earlier of two times, of which zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
