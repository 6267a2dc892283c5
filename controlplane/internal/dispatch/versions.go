package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// How Lambda is asked what a qualifier leads to. Its limit on such calls is 15 a second for the whole account.
const (
	readTimeout    = 5 * time.Second
	readEach       = time.Second            // between two functions
	firstReadEach  = 100 * time.Millisecond // the same when the control plane has started
	forbiddenPause = 5 * time.Minute        // somebody may give the right
	failuresToWarn = 3                      // in a row
	neverChanges   = time.Duration(-1)
)

// versions are what is known of a function's versions. Guarded by the function's mu.
type versions struct {
	read     bool // there was an answer
	routing  provider.Routing
	failures int               // of reading, in a row
	trouble  string            // why deployments are not seen; empty: they are, or nobody asked yet
	byName   bool              // versions may not be invoked by their number
	settled  *provider.Routing // what was read before a rollout that is under way, or last; nil: nothing was
	asked    *rollout.Plan     // of a rollout that an operator wants, and that begins with the next answer
}

// planOf is how a rollout is made, as configured.
func planOf(c config.Rollout) rollout.Plan {
	return rollout.Plan{Steps: c.Steps, Hold: c.Hold, MaxErrors: c.MaxErrors, MaxSlower: c.MaxSlower}
}

// follow reads every now and then what the function's qualifier leads to, until ctx ends. place is how many functions are read
// before it.
func (f *function) follow(ctx context.Context, place int) {
	next, lag := time.Duration(place)*firstReadEach, time.Duration(place)*(readEach-firstReadEach)
	for pause.For(ctx, next) {
		if next = f.look(ctx); next == neverChanges {
			return
		}
		next, lag = next+lag, 0
	}
}

// followAnew reads what the qualifier leads to from now on as the settings say. place is how many functions are read before it.
// The caller holds d.configuring.
func (f *function) followAnew(place int) {
	f.unfollow()
	f.unfollow = func() {}
	if !f.settings().watched() {
		return
	}
	ctx, cancel := context.WithCancel(f.d.stop)
	f.unfollow = cancel
	f.d.spawn(func() { f.follow(ctx, place) })
}

// look reads what the qualifier leads to, acts upon it, and returns when to look again. One looks at a time: no answer is
// overtaken by an older one.
func (f *function) look(ctx context.Context) time.Duration {
	f.looking.Lock()
	defer f.looking.Unlock()
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r, err := f.settings().provider.Routing(reading)
	next := max(f.settings().config.Rollout.Watch, time.Duration(len(f.d.list()))*readEach)
	switch {
	case ctx.Err() != nil:
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

// unseenDetail says what it means that the control plane cannot read what the qualifier leads to.
const unseenDetail = "what the function's qualifier leads to cannot be read: a deployment is noticed by the first instance that runs the new " +
	"version, so some requests wait for its start, and the old version cannot be started any more. Allow lambda:GetAlias and " +
	"lambda:GetFunctionConfiguration, or set rollout.watch to 0s"

// unread follows a failure to read. It warns once, and from then on Lambda chooses what new instances run. A rollout that an
// operator wants begins anyway.
func (f *function) unread(err error) {
	f.mu.Lock()
	v := &f.versions
	v.failures++
	warn := v.trouble == "" && (errors.Is(err, provider.ErrForbidden) || v.failures >= failuresToWarn)
	if warn {
		v.trouble = unseenDetail + ": " + oneLine(err.Error(), maxSaid)
	}
	plan := v.take()
	blind := v.trouble != "" || plan != nil
	f.mu.Unlock()
	if warn {
		f.log.WithError(err).Warn(unseenDetail)
	}
	if blind {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Unpin(at, false) })
	}
	if plan != nil {
		f.log.WithError(err).Warn("what the qualifier leads to cannot be read: all instances are replaced by whatever it is")
		f.renew(*plan, true)
	}
}

// settle is what all instances run, as far as that is known: what was read last, once no rollout is under way.
func (v *versions) settle(g pool.Progress) *provider.Routing {
	if v.read && (g.Phase == "" || g.Phase.Over() && !g.Back) {
		routing := v.routing
		v.settled = &routing
	}
	return v.settled
}

// learn takes over what was read by whoever led before. What is read now is compared with it.
func (v *versions) learn(settled *provider.Routing) {
	if settled != nil && !v.read {
		v.read, v.routing, v.settled = true, *settled, settled
	}
}

// take is the plan of the rollout that an operator wants, who wants it no more; nil: none does.
func (v *versions) take() *rollout.Plan {
	plan := v.asked
	v.asked = nil
	return plan
}

// A heard is what an answer says that was read.
type heard struct {
	route  pool.Route    // of new instances
	moved  bool          // to another version
	other  bool          // code than before, as far as that is known
	mended bool          // it could not be read before
	plan   *rollout.Plan // of a rollout that an operator wants
}

// hear takes in an answer.
func (v *versions) hear(r provider.Routing) heard {
	was := v.routing
	h := heard{moved: r.Route != was.Route, other: v.read && r != was, mended: v.trouble != "", plan: v.take()}
	if !v.read {
		h.other = h.plan != nil && r != (provider.Routing{}) // nobody knows, and a version's own code never changes
	}
	if !v.byName {
		h.route = r.Route
	}
	v.read, v.routing, v.failures, v.trouble = true, r, 0, ""
	return h
}

// routed begins a rollout if the qualifier leads elsewhere than before, if its code is another, or if an operator wants one.
func (f *function) routed(r provider.Routing) {
	f.mu.Lock()
	h := f.versions.hear(r)
	f.mu.Unlock()
	if h.moved {
		f.log.WithField("version", routeName(r.Route)).Info("the qualifier leads to")
	}
	if h.mended {
		f.log.Info("what the function's qualifier leads to can be read again")
	}
	plan, forced := f.settings().plan.settings.Rollout, h.plan != nil
	if forced {
		plan = *h.plan
	}
	pinned := h.route != (pool.Route{})
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		unknown := h.other && p.Routed() == (pool.Route{}) // what those run that Lambda chose
		return p.Route(at, h.route, plan, pinned && (forced || unknown))
	})
	if !pinned && (forced || h.other) {
		f.renew(plan, h.other)
	}
}

// renew replaces all instances that there are.
func (f *function) renew(plan rollout.Plan, changed bool) {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Renew(at, plan, changed) })
}

// unwatch leaves it to Lambda again what new instances run, after a rollout of an operator: nobody else reads where the
// qualifier leads. One that was given up leaves the old version in place, until an operator starts another.
func (f *function) unwatch(t turn) {
	if t.Phase == rollout.Done && f.settings().config.Rollout.Watch == 0 {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Unpin(at, false) })
	}
}

// unstartable follows the end of an instance that was started by the number of its version, where Lambda does not let us, or
// has no such version any more.
func (f *function) unstartable(i *instance, end provider.End) {
	version := i.core.Pin()
	switch {
	case version == "":
	case end.Cause == scaler.Denied:
		f.denied(version)
	case end.Cause == scaler.NotFound:
		f.log.WithField("version", version).Warn("the version exists no more: instances are started as the qualifier leads to")
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Vanished(at, version) })
	}
}

// denied makes instances be started as the qualifier leads to from now on.
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
