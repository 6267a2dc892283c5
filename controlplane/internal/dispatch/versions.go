package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// How Lambda is asked what a qualifier points to. Its limit on such calls is 15 a second for the whole account.
const (
	readTimeout    = 5 * time.Second
	readEach       = time.Second            // between two functions
	firstReadEach  = 100 * time.Millisecond // between two functions in the first round
	forbiddenPause = 5 * time.Minute        // until the next try where reading is forbidden: somebody may have allowed it
	failuresToWarn = 3                      // in a row
	neverChanges   = time.Duration(-1)      // the answer to when to look again, of a qualifier that is a version
)

// versions are what is known of a function's versions. Guarded by the function's mu.
type versions struct {
	read     bool // Lambda has answered
	routing  provider.Routing
	failures int               // of reading, in a row
	trouble  string            // why deployments are not noticed; empty: they are, or we have not asked yet
	byName   bool              // versions may not be invoked by their number
	settled  *provider.Routing // what all instances run: see updateSettled; nil: not known
	asked    *rollout.Plan     // the plan of a rollout that an operator wants; it begins with the next answer
}

// planOf is the configured plan of rollouts.
func planOf(c config.Rollout) rollout.Plan {
	return rollout.Plan{Steps: c.Steps, Hold: c.Hold, MaxErrors: c.MaxErrors, MaxSlower: c.MaxSlower}
}

// follow reads regularly what the function's qualifier points to, until ctx ends. place is how many functions are read before
// this one.
func (f *function) follow(ctx context.Context, place int) {
	next, lag := time.Duration(place)*firstReadEach, time.Duration(place)*(readEach-firstReadEach)
	for pause.For(ctx, next) {
		if next = f.look(ctx); next == neverChanges {
			return
		}
		next, lag = next+lag, 0
	}
}

// followAgain replaces follow by one with the current settings, or ends it. place is as for follow. The caller holds d.configuring.
func (f *function) followAgain(place int) {
	f.unfollow()
	f.unfollow = func() {}
	if !f.settings().watched() {
		return
	}
	ctx, cancel := context.WithCancel(f.d.stop)
	f.unfollow = cancel
	f.d.spawn(func() { f.follow(ctx, place) })
}

// look reads what the qualifier points to, acts on it, and returns when to look again. Only one look runs at a time, so that an old
// answer cannot follow a newer one.
func (f *function) look(ctx context.Context) time.Duration {
	f.looking.Lock()
	defer f.looking.Unlock()
	s := f.settings()
	if s.provider == nil {
		return neverChanges // its peers register by themselves since a moment ago
	}
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r, err := s.provider.Routing(reading)
	next := max(s.config.Rollout.Watch, time.Duration(len(f.d.list()))*readEach)
	switch {
	case ctx.Err() != nil:
	case f.settings().provider == nil: // since then
		return neverChanges
	case err != nil:
		f.unread(err)
		if errors.Is(err, provider.ErrForbidden) {
			return forbiddenPause
		}
	default:
		f.routed(r)
		if r == (provider.Routing{}) {
			return neverChanges
		}
	}
	return next
}

// What follows if the control plane cannot read what the qualifier points to, and what to do.
const (
	unseenDetail = "what the function's qualifier points to cannot be read: a deployment is noticed by the first instance that runs the new " +
		"version, so some requests wait for its start, and the old version cannot be started any more"
	forbiddenDetail = unseenDetail + ". Allow lambda:GetAlias and lambda:GetFunctionConfiguration, or set rollout.watch to 0s"
	goneDetail      = "Lambda has no such function or qualifier: what runs serves on, and nothing new starts. Look at lambda.function_name, " +
		"lambda.qualifier and the region"
)

func unseenBecause(err error) string {
	switch {
	case errors.Is(err, provider.ErrForbidden):
		return forbiddenDetail
	case errors.Is(err, provider.ErrGone):
		return goneDetail
	}
	return unseenDetail
}

// unread handles a failure to read the qualifier. It warns once, and from then on Lambda chooses what new instances run. A rollout
// that an operator wants begins anyway.
func (f *function) unread(err error) {
	f.mu.Lock()
	v := &f.versions
	v.failures++
	warn := v.trouble == "" && (errors.Is(err, provider.ErrForbidden) || v.failures >= failuresToWarn)
	if warn {
		v.trouble = unseenBecause(err) + ": " + oneLine(err.Error())
	}
	plan := v.take()
	blind := v.trouble != "" || plan != nil
	f.mu.Unlock()
	if warn {
		f.log.WithError(err).Warn(unseenBecause(err))
	}
	if blind {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Unpin(at, false) })
	}
	if plan != nil {
		f.log.WithError(err).Warn("what the qualifier points to cannot be read: all instances are replaced by whatever it is")
		f.renew(*plan, true)
	}
}

// updateSettled notes and returns what all instances run, as far as that is known. While no rollout is under way, that is what was read last.
func (v *versions) updateSettled(g pool.Progress) *provider.Routing {
	if v.read && (g.Phase == "" || g.Phase.Over() && !g.Back) {
		routing := v.routing
		v.settled = &routing
	}
	return v.settled
}

// learn takes over what the former leader read, so that the first answer is compared with it.
func (v *versions) learn(settled *provider.Routing) {
	if settled != nil && !v.read {
		v.read, v.routing, v.settled = true, *settled, settled
	}
}

// take removes and returns the plan of the rollout that an operator wants; nil: none does.
func (v *versions) take() *rollout.Plan {
	plan := v.asked
	v.asked = nil
	return plan
}

// A heard is what an answer of Lambda's means.
type heard struct {
	route  pool.Route    // for new instances
	moved  bool          // the qualifier points to another version than before
	other  bool          // the code is another than before, as far as that is known
	mended bool          // the qualifier could not be read before
	plan   *rollout.Plan // of a rollout that an operator wants; nil: none does
}

// hear records an answer of Lambda's.
func (v *versions) hear(r provider.Routing) heard {
	was := v.routing
	h := heard{moved: r.Route != was.Route, other: v.read && r != was, mended: v.trouble != "", plan: v.take()}
	if !v.read {
		h.other = h.plan != nil && r != (provider.Routing{}) // assumed for an alias or $LATEST; a version's own code never changes
	}
	if !v.byName {
		h.route = r.Route
	}
	v.read, v.routing, v.failures, v.trouble = true, r, 0, ""
	return h
}

// routed handles what Lambda says of the qualifier. It begins a rollout if the route or the code has changed, or if an operator
// wants one.
func (f *function) routed(r provider.Routing) {
	var todo effects
	h := f.hear(r, &todo)
	if h.moved && !slices.ContainsFunc(todo.steps, func(t rolloutStep) bool { return t.To == r.Route }) { // or the rollout says it
		f.log.WithField("version", routeName(r.Route)).Info("the qualifier points to this version")
	}
	if h.mended {
		f.log.Info("what the function's qualifier points to can be read again")
	}
	todo.carryOut(f)
}

// hear is the part of routed that needs the lock. It is one step, from before it records the answer until the rollout has begun: a
// note written in between would tell the next leader that all instances run the new code.
func (f *function) hear(r provider.Routing, todo *effects) (h heard) {
	f.take(func(p *pool.Pool, at time.Time) *pool.Effects {
		f.versions.updateSettled(p.Rollout())
		h = f.versions.hear(r)
		plan, forced := f.settings().plan.settings.Rollout, h.plan != nil
		if forced {
			plan = *h.plan
		}
		pinned := h.route != (pool.Route{})
		unknown := h.other && p.Routed() == (pool.Route{}) // Lambda chose what the instances run, so nobody knows it
		e := p.Route(at, h.route, plan, pinned && (forced || unknown))
		if pinned || !forced && !h.other {
			return e
		}
		f.apply(at, e, todo)
		return p.Renew(at, plan, h.other)
	}, todo)
	return h
}

// renew replaces all instances. changed says whether the new ones run other code.
func (f *function) renew(plan rollout.Plan, changed bool) {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Renew(at, plan, changed) })
}

// unwatch lets Lambda choose again what new instances run, after an operator's rollout of a function whose qualifier is not
// watched. After a rollout that was given up, the old version stays until an operator starts another.
func (f *function) unwatch(t rolloutStep) {
	if t.Phase == rollout.Done && f.settings().config.Rollout.Watch == 0 {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Unpin(at, false) })
	}
}

// unstartable handles the end of an instance that was started by its version's number, if Lambda does not allow that or does not
// have the version any more.
func (f *function) unstartable(i *instance, end provider.End) {
	version := i.core.Pin()
	switch {
	case version == "":
	case end.Cause == scaler.Denied:
		f.denied(version)
	case end.Cause == scaler.NotFound:
		f.log.WithField("version", version).Warn("the version does not exist any more: instances are started by the qualifier")
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Vanished(at, version) })
	}
}

// denied makes all starts use the qualifier from now on, because Lambda does not allow version numbers.
func (f *function) denied(version string) {
	f.mu.Lock()
	known := f.versions.byName
	f.versions.byName = true
	f.mu.Unlock()
	if known {
		return
	}
	f.log.WithField("version", version).Warn("versions of the function may not be invoked by their number: while a rollout lasts, the old " +
		"version cannot be started. Allow lambda:InvokeFunction for the function's ARN with :* behind it")
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Unpin(at, true) })
	f.do((*pool.Pool).Retry)
}
