package scaler

import (
	"iter"
	"slices"
	"time"
)

// A start that takes overdueTimes as long as usual, and at least overdueLeast, is not of the kind that it was expected to be.
const (
	overdueTimes = 4
	overdueLeast = 100 * time.Millisecond
	doublings    = 8  // the most by which late waits longer
	manyLeft     = 16 // starts that have left a batch, beyond as many as it holds
)

// A Start is a start in progress, or an instance that is about to free its environment. Its holder passes it back to Over.
type Start struct {
	at        time.Time
	surprised bool   // it did not find the environment that it was counted on; so also after Over, for Alone
	ends      bool   // it is an instance that was told to finish
	in        *batch // nil once nothing is expected of it
}

// A batch holds starts that are not over. It keeps their sums, so that these need no loop.
type batch struct {
	n     int
	base  time.Time
	since float64  // sum of the beginnings, in seconds after base
	queue []*Start // by beginning; those that have left are skipped, and are never many more than those that are there
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
	if len(b.queue) > 2*b.n+manyLeft {
		b.queue = slices.DeleteFunc(b.queue, func(s *Start) bool { return s.in != b })
	}
}

// oldest is the start that began first. The batch must not be empty.
func (b *batch) oldest() *Start {
	for b.queue[0].in != b {
		b.queue = b.queue[1:]
	}
	return b.queue[0]
}

// newest is the start that began last; nil if there is none.
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

// latest are the starts, the newest first.
func (b *batch) latest() iter.Seq[*Start] {
	return func(yield func(*Start) bool) {
		if b.newest() == nil { // which drops what has left after it
			return
		}
		for _, s := range slices.Backward(b.queue) {
			if s.in == b && !yield(s) {
				return
			}
		}
	}
}

// due is the oldest start if it has been under way for d; otherwise nil.
func (b *batch) due(now time.Time, d time.Duration) *Start {
	if b.n == 0 {
		return nil
	}
	if s := b.oldest(); now.Sub(s.at) >= d {
		return s
	}
	return nil
}

// next is when the oldest start will have been under way for d; zero if there is none.
func (b *batch) next(d time.Duration) time.Time {
	if b.n == 0 {
		return time.Time{}
	}
	return b.oldest().at.Add(d)
}

// age is how long the oldest start has been under way.
func (b *batch) age(now time.Time) time.Duration {
	if b.n == 0 {
		return 0
	}
	return now.Sub(b.oldest().at)
}

// ages is the sum of the ages of all starts, in seconds.
func (b *batch) ages(now time.Time) float64 {
	if b.n == 0 {
		return 0
	}
	return float64(b.n)*now.Sub(b.base).Seconds() - b.since
}

// Begin says that a start was made. It is expected to be warm if there is a frozen environment that no other start has claimed,
// because Lambda makes a new one only when none is left. Over must follow.
func (f *Fleet) Begin(now time.Time) *Start {
	s := &Start{at: now}
	if f.Spare(now) > 0 {
		f.warm.add(s)
	} else {
		f.cold.add(s)
	}
	return s
}

// Settle says that an instance was told to finish, so that its environment will soon be frozen. Over must follow.
func (f *Fleet) Settle(now time.Time) *Start {
	s := &Start{at: now, ends: true}
	f.settling.add(s)
	return s
}

// Over says that a start has come up or failed, or that an instance has finished. It is harmless twice, and for nil.
func (f *Fleet) Over(now time.Time, s *Start) {
	if s == nil {
		return
	}
	if s.ends {
		s.ends = false
		f.finish.Add(min(now.Sub(s.at), longestFinish), 1)
	}
	if s.in == nil {
		return
	}
	s.in.remove(s)
	if s.surprised {
		f.surprised--
	}
}

// move moves a start to another batch.
func (f *Fleet) move(s *Start, to *batch) {
	s.in.remove(s)
	to.add(s)
}

// Spare is how many frozen environments are there for further starts.
func (f *Fleet) Spare(now time.Time) int { return max(0, f.Frozen(now)-f.warm.n) }

// expect corrects expectations that time has refuted. An overdue warm start becomes a cold one, which puts the claimed
// environment in doubt. An overdue cold start is lost. An instance that should have finished is not counted on any more.
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

// overdue is the age at which a start is not expected to be warm any more.
func (f *Fleet) overdue() time.Duration {
	return max(overdueLeast, overdueTimes*f.Warm.Mean(assumedWarm))
}

// late is the age at which a cold start is not counted on any more. It doubles with each start that is already lost, because all may
// have become slow; those that hang alone do not count. It has no meaning before a cold start was seen.
func (f *Fleet) late() time.Duration {
	together := 0
	for s := range f.lost.latest() {
		if together == doublings || f.cameCold.After(s.at) { // then all that began before hang alone
			break
		}
		if !f.Alone(s) {
			together++
		}
	}
	return max(overdueLeast, overdueTimes*f.Cold.Mean(0)<<together)
}

// Alone reports whether a start that has not come up hangs for a reason of its own: another of its kind has come up since it began.
// Those in environments that were there say nothing about those in new ones.
func (f *Fleet) Alone(s *Start) bool {
	if s.surprised {
		return f.came.After(s.at)
	}
	return f.cameCold.After(s.at)
}

// Lost is how many starts in progress are not counted on any more.
func (f *Fleet) Lost() int { return f.lost.n }

// unsettled is the time after which an environment that should be frozen is not waited for any more.
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

// lead is how long a start in a new environment takes: as long as usual, or as the oldest in progress has already taken.
func (f *Fleet) lead(now time.Time) time.Duration {
	return max(f.Cold.Mean(assumedCold), f.cold.age(now))
}

// sooner is the earlier of two times. A zero time means none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
