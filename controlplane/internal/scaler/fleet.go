package scaler

import (
	"slices"
	"time"
)

// How long a frozen environment is relied on before anything is known, and how long it may yet be seen again. Lambda does not
// publish when it gives them up; observers report 5 to 15 minutes. What is found, or not found, teaches better.
const (
	SurelyFrozen  = 290 * time.Second
	leastRelied   = 20 * time.Second
	longestRelied = 15 * time.Minute
	maybeFrozen   = 30 * time.Minute
)

// The longest starts that are learned from. Lambda needs no such times: what takes longer is a network that failed, or a
// machine that stood still, and says nothing about the next start.
const (
	longestWarm   = time.Second
	longestCold   = 2 * time.Minute
	longestFinish = 10 * time.Second
)

// What to assume of starts, and of the ends of instances, before one was seen.
const (
	assumedWarm   = 40 * time.Millisecond
	assumedCold   = time.Second
	assumedFinish = 20 * time.Millisecond
)

// A Fleet is what a pool learns about the environments that its instances run in, and about how long starts take.
type Fleet struct {
	Warm   Estimate // from start to up, in an environment that was there
	Cold   Estimate // in a new one
	finish Estimate // from when an instance is told to finish to its end

	warm, cold batch // starts in progress, by what they are expected to be; each warm one claims a frozen environment
	lost       batch // starts in progress that nobody counts on
	settling   batch // instances that were told to finish
	surprised  int   // cold and lost ones that did not find what they had claimed

	relied time.Duration // how long a frozen environment is relied on
	known  map[string]*environment
	sure   []freeze // oldest first, as is maybe; those that ran since are skipped
	maybe  []freeze
	count  int // of sure, without those that ran since
}

type environment struct {
	name   string
	runs   int // instances in it whose end is not heard yet: more than one where the next has come up before
	frozen bool
	sure   bool      // and surely there
	times  uint64    // that it was frozen
	since  time.Time // when it was the last time
}

// A freeze is over once the environment ran again.
type freeze struct {
	*environment
	at time.Time
	n  uint64
}

func (f freeze) lasts() bool { return f.frozen && f.times == f.n }

// NewFleet returns a fleet that has seen nothing.
func NewFleet() *Fleet {
	return &Fleet{known: map[string]*environment{}, relied: SurelyFrozen}
}

// Renew returns what is known of the environments of other code: none, but about as long starts.
func (f *Fleet) Renew() *Fleet {
	n := NewFleet()
	n.Warm, n.Cold, n.finish, n.relied = f.Warm, f.Cold, f.finish, f.relied
	return n
}

// Up says that a start came up in an environment, and how long it took. A nil start is one that Begin was not told of. It tells
// whether the environment is a new one.
func (f *Fleet) Up(now time.Time, name string, took time.Duration, s *Start) (cold bool) {
	f.forget(now)
	e := f.known[name]
	if e == nil {
		f.known[name] = &environment{name: name, runs: 1}
		f.Cold.Add(min(took, longestCold))
		if f.Claims(s) {
			f.surprise(now, s)
		}
	} else {
		if e.sure && !f.Claims(s) {
			f.overtaken(e)
		}
		if e.frozen {
			f.found(now.Add(-took).Sub(e.since))
		}
		f.thaw(e)
		f.Warm.Add(min(took, longestWarm))
	}
	f.Over(now, s)
	return e == nil
}

// Found says that an environment has served before, whether the fleet has seen that or not. Up follows.
func (f *Fleet) Found(name string) {
	if f.known[name] == nil {
		f.known[name] = &environment{name: name}
	}
}

// Runs says that an environment was there before the fleet was, and runs. How long its start took says something as long as
// nothing else does.
func (f *Fleet) Runs(now time.Time, name string, took time.Duration, cold bool) {
	f.forget(now)
	if cold && f.Cold.n == 0 {
		f.Cold.Add(min(took, longestCold))
	}
	if !cold && f.Warm.n == 0 {
		f.Warm.Add(min(took, longestWarm))
	}
	if name == "" {
		return
	}
	e := f.known[name]
	if e == nil {
		e = &environment{name: name}
		f.known[name] = e
	}
	f.thaw(e)
}

// thaw takes in that an environment serves one more instance.
func (f *Fleet) thaw(e *environment) {
	f.unsure(e)
	e.frozen = false
	e.runs++
}

// latestTimes is how many times longer than usual nearly every start comes up sooner.
const latestTimes = 3

// Latest is the time within which a start comes up nearly always, if it ever does.
func (f *Fleet) Latest() time.Duration { return latestTimes * f.Cold.Mean(assumedCold) }

// Claims reports whether a start in progress is counted on a frozen environment.
func (f *Fleet) Claims(s *Start) bool { return s != nil && s.in == &f.warm }

// overtaken takes the claim of a start that another one has overtaken: that came up where it was expected. Starts that are made
// together reach Lambda in any order.
func (f *Fleet) overtaken(e *environment) {
	if last := f.warm.newest(); last != nil && !last.at.Before(e.since) {
		f.move(last, &f.cold)
	}
}

// surprise follows a start that found no frozen environment, or does not come up as if it had. One whose last answer was just
// before the start came too late for it, and is there for the next. Another start that is not overdue may have taken what this one
// was counted on, and is counted on that from now on. Without either the environments are not there any more: Lambda has given
// them up, or somebody else invokes the function.
func (f *Fleet) surprise(now time.Time, s *Start) {
	other := f.cold.newest()
	f.move(s, &f.cold)
	s.surprised = true
	f.surprised++
	switch {
	case f.frozeJustBefore(s.at):
		return
	case other != nil && !other.surprised && now.Sub(other.at) < f.overdue():
		f.move(other, &f.warm)
		return
	}
	alone := f.cold.n+f.lost.n == f.surprised // otherwise another one may have them, and is late
	for len(f.sure) > 0 && !f.sure[0].at.After(s.at) {
		if alone && f.sure[0].lasts() {
			f.missed(s.at.Sub(f.sure[0].at))
		}
		f.doubt()
	}
}

// frozeJustBefore reports whether an environment gave its last answer so shortly before.
func (f *Fleet) frozeJustBefore(at time.Time) bool {
	for _, e := range slices.Backward(f.sure) {
		if at.Sub(e.at) > freezing {
			return false
		}
		if e.lasts() && !e.at.After(at) {
			return true
		}
	}
	return false
}

// found learns from an environment that was frozen for so long and then ran again. Most were used soon and say nothing; one
// that lasted longer than was relied on says a little, because it is one of those that last.
func (f *Fleet) found(idle time.Duration) {
	if idle > f.relied && f.relied > 0 {
		f.relied = min(f.relied+(idle-f.relied)/8, longestRelied)
	}
}

// missed learns from one that was given up before so long a time.
func (f *Fleet) missed(idle time.Duration) {
	if idle < f.relied {
		f.relied = max(leastRelied, f.relied-(f.relied-idle)/2)
	}
}

// Relied is for how long a frozen environment is expected to be there.
func (f *Fleet) Relied() time.Duration { return f.relied }

// doubt counts on the environment no more that froze first.
func (f *Fleet) doubt() {
	if oldest := f.sure[0]; oldest.lasts() {
		f.unsure(oldest.environment)
		f.maybe = append(f.maybe, oldest)
	}
	f.sure = f.sure[1:]
}

func (f *Fleet) unsure(e *environment) {
	if e.sure {
		e.sure = false
		f.count--
	}
}

// Ended says that an environment's invocation is over. It is frozen, unless it crashed, or serves the next instance already.
func (f *Fleet) Ended(now time.Time, name string, crashed bool) {
	e := f.known[name]
	if e == nil || e.frozen {
		return
	}
	if e.runs = max(0, e.runs-1); e.runs > 0 {
		return
	}
	if crashed {
		delete(f.known, name)
		return
	}
	e.frozen, e.sure, e.since = true, true, now
	e.times++
	f.sure = append(f.sure, freeze{e, now, e.times})
	f.count++
}

// Known reports whether any start has succeeded.
func (f *Fleet) Known() bool { return f.Cold.n > 0 }

// Frozen is how many environments are surely there for warm starts.
func (f *Fleet) Frozen(now time.Time) int {
	f.forget(now)
	return f.count
}

// Until is when Frozen will be less if nothing happens; zero: it is none.
func (f *Fleet) Until(now time.Time) time.Time {
	f.forget(now)
	if len(f.sure) == 0 {
		return time.Time{}
	}
	return f.sure[0].at.Add(f.relied)
}

// forget drops what was frozen for too long.
func (f *Fleet) forget(now time.Time) {
	for len(f.sure) > 0 && (!f.sure[0].lasts() || now.Sub(f.sure[0].at) >= f.relied) {
		f.doubt()
	}
	for len(f.maybe) > 0 && now.Sub(f.maybe[0].at) >= maybeFrozen {
		if oldest := f.maybe[0]; oldest.lasts() {
			delete(f.known, oldest.name)
		}
		f.maybe = f.maybe[1:]
	}
}

// An Estimate is a mean that forgets: each value counts for an eighth, as in TCP's round trip time, but the first ones
// for more.
type Estimate struct {
	mean float64
	n    int
}

// Add takes in a value.
func (e *Estimate) Add(d time.Duration) {
	e.n = min(e.n+1, 8)
	e.mean += (float64(d) - e.mean) / float64(e.n)
}

// Mean is the estimate, or what else to assume if there was no value.
func (e *Estimate) Mean(otherwise time.Duration) time.Duration {
	if e.n == 0 {
		return otherwise
	}
	return time.Duration(e.mean)
}
