// Package rollout decides how far a version of a function may replace another: step by step, watched at each, and given up when it
// fails. It is pure: time is an argument. It knows no instances; the pool starts and drains them accordingly.
package rollout

import (
	"math"
	"time"
)

// A Plan says how a version replaces another. The zero value tries one instance, then replaces all.
type Plan struct {
	// Steps are the shares of the capacity that the new version gets one after the other, rising, up to 1. Before the first
	// step one instance is tried. Without steps there is one, of all.
	Steps []float64
	// Hold is how long each step but the last is watched once it is reached.
	Hold time.Duration
	// MaxErrors is the share of 5xx answers beyond that of the old version at which a rollout is given up; 0: never.
	MaxErrors float64
	// MaxSlower is the ratio of the new version's P99 of request times to the old one's at which a rollout is given up; 0:
	// never.
	MaxSlower float64
	// Known leaves out the try of one instance: the version has served before.
	Known bool
}

// A Phase is what a rollout does now.
type Phase string

// Phases.
const (
	Starting  Phase = "starting"  // instances of the step are on their way
	Watching  Phase = "watching"  // they are up, and serve
	Finishing Phase = "finishing" // the last step is reached: what is left of the old version drains
	Done      Phase = "done"
	Aborted   Phase = "aborted" // see Cause
)

// Over reports whether nothing more happens.
func (p Phase) Over() bool { return p == Done || p == Aborted }

// A Cause says why a rollout was given up: one of these, or that of a start which failed.
type Cause string

// Causes beside those of starts.
const (
	Errors     Cause = "errors"     // too many 5xx answers
	Slow       Cause = "slow"       // requests take too long
	Crashes    Cause = "crashes"    // instances that had come up ended by themselves
	Hangs      Cause = "hangs"      // requests were taken, and none was answered
	ByOperator Cause = "operator"   // somebody asked for it
	Superseded Cause = "superseded" // another version came
)

// How often failing starts are tried.
const (
	attempts   = 3
	firstPause = time.Second
)

// How many requests show that a version hangs: such as have waited for as long as an answer may take, or such as have ended without
// one, although their clients may have left by themselves.
const (
	EnoughLate = 3
	EnoughLeft = 10
)

// A Rollout is one replacement. It belongs to one caller at a time.
type Rollout struct {
	plan     Plan
	share    float64 // of the capacity, in the end
	step     int     // -1: the try of one instance
	phase    Phase
	cause    Cause
	since    time.Time // when the phase began
	again    time.Time // no start before that
	failures int       // tries in a row in which starts failed
	failed   time.Time // when the latest of them did so first
	crashes  int       // in this step
	silent   bool      // it has got requests, and answered none, or many of them not
	before   Sample    // of the old version
	after    Sample
}

// Begin returns a rollout that brings a version up to that share of the capacity.
func Begin(now time.Time, plan Plan, share float64) *Rollout {
	if len(plan.Steps) == 0 || plan.Steps[len(plan.Steps)-1] < 1 {
		plan.Steps = append(append([]float64(nil), plan.Steps...), 1)
	}
	r := &Rollout{plan: plan, share: share, step: -1, phase: Starting, since: now}
	if plan.Known {
		r.step = 0
	}
	return r
}

// Want is how many of n instances should run the new version in this step.
func (r *Rollout) Want(n int) int {
	if r.step < 0 {
		return min(1, n)
	}
	return r.part(r.plan.Steps[r.step], n)
}

// Last is how many of n instances should run the new version in the end.
func (r *Rollout) Last(n int) int { return r.part(1, n) }

// part is a step's part of n instances. Of a version that replaces another it is one at least. Of one that shares with another it is
// the nearest number, which may be none: one of two instances is no tenth.
func (r *Rollout) part(step float64, n int) int {
	if r.share < 1 {
		return int(math.Round(step * r.share * float64(n)))
	}
	return int(math.Ceil(step*float64(n) - 1e-9))
}

// MayStart reports whether an instance of the new version may be started now.
func (r *Rollout) MayStart(now time.Time) bool { return !r.phase.Over() && !now.Before(r.again) }

// Look takes in how many of n instances run the new version and serve, and how many old ones are left beyond those that stay.
func (r *Rollout) Look(now time.Time, n, ready, surplus int) {
	switch r.phase {
	case Starting:
		if ready >= r.Want(n) {
			r.reached(now)
			r.finish(now, surplus)
		}
	case Watching:
		if r.judge(); r.phase == Watching && !r.silent && ready >= r.Want(n) && now.Sub(r.since) >= r.plan.Hold {
			r.step++
			r.crashes = 0
			r.enter(now, Starting)
			r.Look(now, n, ready, surplus)
		}
	case Finishing:
		r.judge()
		r.finish(now, surplus)
	}
}

// finish ends a rollout that leaves nothing to be drained: nothing may happen any more that it could wait for.
func (r *Rollout) finish(now time.Time, surplus int) {
	if r.phase == Finishing && surplus <= 0 {
		r.enter(now, Done)
	}
}

// reached is the end of a step's starts.
func (r *Rollout) reached(now time.Time) {
	r.failures = 0
	if r.step == len(r.plan.Steps)-1 {
		r.enter(now, Finishing)
	} else {
		r.enter(now, Watching)
	}
}

func (r *Rollout) enter(now time.Time, p Phase) { r.phase, r.since = p, now }

// judge gives up a version that is worse than the old one.
func (r *Rollout) judge() {
	switch {
	case r.after.fails(r.before, r.plan.MaxErrors):
		r.Abort(Errors)
	case r.after.slower(r.before, r.plan.MaxSlower):
		r.Abort(Slow)
	}
}

// Failed says that a start of the new version failed that was made then. Those that were made before another one failed are the
// same try. The next one waits, twice as long each time; after three in a row the rollout is given up.
func (r *Rollout) Failed(now, began time.Time, cause string) {
	if r.phase.Over() || began.Before(r.failed) {
		return
	}
	r.failures++
	r.failed = now
	r.setback(now, r.failures, Cause(cause))
}

// Up says that a start of the new version has come up: others do.
func (r *Rollout) Up() { r.failures, r.again = 0, time.Time{} }

// Crashed says that an instance of the new version which had come up ended by itself. A step that was watched is watched anew, from
// when another instance has taken its place: what is not there cannot be seen to work.
func (r *Rollout) Crashed(now time.Time) {
	if r.phase.Over() {
		return
	}
	if r.phase == Watching {
		r.enter(now, Starting)
	}
	r.crashes++
	r.setback(now, r.crashes, Crashes)
}

// Unreachable says that an instance of the new version which had come up cannot be reached. It may have crashed, which is known a
// moment later: nothing is started in its place before.
func (r *Rollout) Unreachable(now time.Time) {
	if again := now.Add(firstPause); again.After(r.again) {
		r.again = again
	}
}

// A Silence is what a version has not answered, streams left out.
type Silence struct {
	Given int // requests that it got
	Open  int // those of them that have no answer
	Long  int // those of them that have gone on for longer than usual, or have ended
	Late  int // those of them for which it is too late
	Gone  int // those of them that have ended
	Left  int // those of them that have ended after longer than usual
}

// Silent says what the new version, which is unproven, has not answered. It gets no larger share before it has answered one.
func (r *Rollout) Silent(now time.Time, s Silence) {
	r.hold(now, s.Given > 0)
	if s.Late >= EnoughLate || s.Left >= EnoughLeft {
		r.Abort(Hangs)
	}
}

// PartlySilent says what the new version, which has answered somebody, and the old one have not answered. It gets no larger share while
// more may be silent on it. What clients did not wait for is no sign that it hangs, as far as they do not wait for the old one either: so
// where nothing is known of the old one, nothing is said of the new one.
func (r *Rollout) PartlySilent(now time.Time, after, before Silence) {
	more := func(n, then int) bool {
		share := float64(then) / float64(max(1, before.Given))
		given := float64(after.Given)
		chance := silentByChance * math.Sqrt(share*(1-min(share, 1))*given)
		return r.plan.MaxErrors > 0 && before.Given > 0 && n >= EnoughLate && float64(n) > (share+r.plan.MaxErrors)*given+chance
	}
	r.hold(now, more(after.Open, before.Long))
	switch {
	case !more(after.Long, before.Long):
	case after.Late >= EnoughLate, after.Left >= EnoughLeft && more(after.Gone, before.Gone):
		r.Abort(Hangs)
	}
}

// silentByChance is how many standard errors more than of the old version have to be silent. It is looked at several times a second.
const silentByChance = 3.7

// hold says whether the new version is silent. A step is watched from when it last was.
func (r *Rollout) hold(now time.Time, silent bool) {
	if r.silent && r.phase == Watching {
		r.since = now
	}
	r.silent = silent
}

// setback handles the nth failure in a row: it pauses, twice as long each time, or gives the rollout up.
func (r *Rollout) setback(now time.Time, n int, cause Cause) {
	if n >= attempts {
		r.Abort(cause)
		return
	}
	r.again = now.Add(firstPause << (n - 1))
}

// Abort gives the rollout up.
func (r *Rollout) Abort(cause Cause) {
	if !r.phase.Over() {
		r.phase, r.cause = Aborted, cause
	}
}

// Took says how long a request was in flight on an instance of the new version, or of the old one.
func (r *Rollout) Took(fresh bool, d time.Duration) { r.sample(fresh).took(d) }

// Answered says that an instance of the new version, or of the old one, has given more answers, and how many of them were
// errors of the server.
func (r *Rollout) Answered(fresh bool, answers, errors uint64) {
	r.sample(fresh).answered(answers, errors)
}

func (r *Rollout) sample(fresh bool) *Sample {
	if fresh {
		return &r.after
	}
	return &r.before
}

// Next is when, after now, Look may have something new to say or a start may be made although nothing happens; zero: never.
func (r *Rollout) Next(now time.Time) time.Time {
	next := time.Time{}
	if held := r.since.Add(r.plan.Hold); r.phase == Watching && held.After(now) {
		next = held
	}
	if !r.phase.Over() && r.again.After(now) && (next.IsZero() || r.again.Before(next)) {
		next = r.again
	}
	return next
}

// Phase is what the rollout does now.
func (r *Rollout) Phase() Phase { return r.phase }

// Cause is why it was given up; empty if it was not.
func (r *Rollout) Cause() Cause { return r.cause }

// Tried reports whether an instance of the new version has come up, or had before.
func (r *Rollout) Tried() bool { return r.step >= 0 || r.phase != Starting }

// Unproven reports whether one instance of the new version is being tried, and has not answered anybody yet.
func (r *Rollout) Unproven() bool { return r.step < 0 && r.after.answers == 0 }

// Share is the part of the capacity that the new version gets in this step; 0: one instance is tried.
func (r *Rollout) Share() float64 {
	if r.step < 0 {
		return 0
	}
	return r.plan.Steps[r.step] * r.share
}

// Failures is in how many tries in a row starts have failed.
func (r *Rollout) Failures() int { return r.failures }

// Samples are what the old and the new version have done since the rollout began.
func (r *Rollout) Samples() (before, after Sample) { return r.before, r.after }
