package scaler

import (
	"slices"
	"time"
)

// How long a frozen environment is relied on: SurelyFrozen before anything is learned, and learned times between the next two. It
// may be seen again within maybeFrozen. Lambda does not publish when it gives environments up. Observers report 5 to 15 minutes.
const (
	SurelyFrozen  = 290 * time.Second
	leastRelied   = 20 * time.Second
	longestRelied = 15 * time.Minute
	maybeFrozen   = 30 * time.Minute
)

// Longer times are learned as these. Lambda itself does not take as long: the network failed, or a machine stood still, which says
// nothing about the next start.
const (
	longestWarm   = time.Second
	longestCold   = 2 * time.Minute
	longestFinish = 10 * time.Second
)

// How long starts, and the ends of instances, are assumed to take before one was seen.
const (
	assumedWarm   = 40 * time.Millisecond
	assumedCold   = time.Second
	assumedFinish = 20 * time.Millisecond
)

// A Fleet is what a pool learns about the environments that its instances run in, and about how long starts take.
type Fleet struct {
	Warm   Estimate // from start to dial, in an environment that was there
	Cold   Estimate // from start to dial, in a new environment
	finish Estimate // from when an instance is told to finish to its end

	warm, cold batch     // starts in progress, by what they are expected to be; each warm one claims a frozen environment
	lost       batch     // starts in progress that take so long that they are not counted on any more
	came       time.Time // when a start last came up
	cameCold   time.Time // when one last came up in a new environment
	settling   batch     // instances that were told to finish
	surprised  int       // cold and lost starts that did not find the environment that they had claimed

	relied time.Duration // how long a frozen environment is relied on
	known  map[string]*environment
	sure   []freeze // environments that are relied on, oldest first; those that ran since are skipped
	maybe  []freeze // environments that are not relied on any more but may be seen again, oldest first
	count  int      // environments in sure, without those that ran since
}

type environment struct {
	name   string
	runs   int // instances in it that have not ended, as far as we know: the next may come up before we hear of an end
	frozen bool
	sure   bool      // it is frozen, and relied on
	times  uint64    // how often it was frozen
	since  time.Time // when it was last frozen
}

// A freeze is one time that an environment was frozen. It lasts until the environment runs again.
type freeze struct {
	*environment
	at time.Time
	n  uint64 // the environment's times
}

func (f freeze) lasts() bool { return f.frozen && f.times == f.n }

// NewFleet returns a fleet that has seen nothing.
func NewFleet() *Fleet {
	return &Fleet{known: map[string]*environment{}, relied: SurelyFrozen}
}

// Renew returns a fleet for other code. It knows no environments, and takes over how long starts take.
func (f *Fleet) Renew() *Fleet {
	n := NewFleet()
	n.Warm, n.Cold, n.finish, n.relied = f.Warm, f.Cold, f.finish, f.relied
	return n
}

// Up says that a start came up in an environment, and how long it took. It returns whether the environment is new. s is what Begin
// returned; nil if it was not called.
func (f *Fleet) Up(now time.Time, name string, took time.Duration, s *Start) (cold bool) {
	f.forget(now)
	e := f.known[name]
	f.came = now
	if e == nil {
		f.cameCold = now
		f.known[name] = &environment{name: name, runs: 1}
		f.Cold.Add(min(took, longestCold), 1)
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
		f.Warm.Add(min(took, longestWarm), len(f.known)) // all may start at once
	}
	f.Over(now, s)
	return e == nil
}

// Found says that an environment has served before, even if the fleet does not know it. Up follows.
func (f *Fleet) Found(name string) {
	if f.known[name] == nil {
		f.known[name] = &environment{name: name}
	}
}

// Runs says that an environment already runs that another fleet has started. How long its start took counts only if no other start
// was seen.
func (f *Fleet) Runs(now time.Time, name string, took time.Duration, cold bool) {
	f.forget(now)
	if cold && f.Cold.n == 0 {
		f.Cold.Add(min(took, longestCold), 1)
	}
	if !cold && f.Warm.n == 0 {
		f.Warm.Add(min(took, longestWarm), 1)
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

// thaw records that an environment runs one more instance.
func (f *Fleet) thaw(e *environment) {
	f.unsure(e)
	e.frozen = false
	e.runs++
}

// latestTimes is how many times longer than usual a start takes at most, nearly always.
const latestTimes = 3

// Latest is the time within which a start comes up nearly always, if it ever does.
func (f *Fleet) Latest() time.Duration { return latestTimes * f.Cold.Mean(assumedCold) }

// Claims reports whether a start in progress claims a frozen environment.
func (f *Fleet) Claims(s *Start) bool { return s != nil && s.in == &f.warm }

// overtaken takes the claim from the newest warm start, because another start has come up in the environment that it was counted
// on. Starts that are made together reach Lambda in any order.
func (f *Fleet) overtaken(e *environment) {
	if last := f.warm.newest(); last != nil && !last.at.Before(e.since) {
		f.move(last, &f.cold)
	}
}

// surprise handles a start that found no frozen environment, or takes too long for one that did. There are three explanations,
// tried in this order. An environment that gave its last answer just before the start was not frozen in time for it, and is there
// for the next one. Another start that is not overdue may have taken the environment, so the claim moves to it. Otherwise the
// environments are gone, because Lambda has given them up or somebody else invokes the function.
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
	alone := f.cold.n+f.lost.n == f.surprised // otherwise another start that is late may have them
	for len(f.sure) > 0 && !f.sure[0].at.After(s.at) {
		if alone && f.sure[0].lasts() {
			f.missed(s.at.Sub(f.sure[0].at))
		}
		f.doubt()
	}
}

// frozeJustBefore reports whether an environment gave its last answer shortly before.
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

// found learns from an environment that ran again after it had been frozen for the idle time. Most are used soon, which says
// nothing. One that lasted longer than relied raises relied a little.
func (f *Fleet) found(idle time.Duration) {
	if idle > f.relied && f.relied > 0 {
		f.relied = min(f.relied+(idle-f.relied)/8, longestRelied)
	}
}

// missed learns from an environment that Lambda gave up before it had been frozen for the idle time.
func (f *Fleet) missed(idle time.Duration) {
	if idle < f.relied {
		f.relied = max(leastRelied, f.relied-(f.relied-idle)/2)
	}
}

// Relied is for how long a frozen environment is expected to be there.
func (f *Fleet) Relied() time.Duration { return f.relied }

// doubt stops relying on the environment that froze first.
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

// Ended says that an environment's invocation has ended. The environment is frozen now, unless it crashed or already runs the next
// instance.
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

// Frozen is how many frozen environments are relied on for warm starts.
func (f *Fleet) Frozen(now time.Time) int {
	f.forget(now)
	return f.count
}

// maybeThere is how many environments were frozen for too long to be relied on, and may be there all the same.
func (f *Fleet) maybeThere() int {
	n := 0
	for _, e := range f.maybe {
		if e.lasts() {
			n++
		}
	}
	return n
}

// Until is when Frozen falls without an event; zero: it is 0.
func (f *Fleet) Until(now time.Time) time.Time {
	f.forget(now)
	if len(f.sure) == 0 {
		return time.Time{}
	}
	return f.sure[0].at.Add(f.relied)
}

// forget drops environments that were frozen for too long.
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

// An Estimate is an exponential moving average: each value counts for an eighth, as in TCP's smoothed round-trip time (RFC 6298),
// and the first ones for more.
type Estimate struct {
	mean float64
	n    int
}

// memory is how many values an Estimate remembers at least.
const memory = 8

// Add adds a value. If more of them come together than an Estimate remembers, it remembers all of these: what began at the same time
// ends in the order of its length, so the last few are the longest.
func (e *Estimate) Add(d time.Duration, together int) {
	e.n = min(e.n+1, max(memory, together))
	e.mean += (float64(d) - e.mean) / float64(e.n)
}

// Mean is the estimate, or otherwise if there was no value yet.
func (e *Estimate) Mean(otherwise time.Duration) time.Duration {
	if e.n == 0 {
		return otherwise
	}
	return time.Duration(e.mean)
}
