package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// How Lambda is asked what a qualifier leads to. Its limit on such calls is 15 a second for the whole account.
const (
	readTimeout     = 5 * time.Second
	readEach        = time.Second     // all functions together
	forbiddenPause  = 5 * time.Minute // somebody may give the right
	failuresToWarn  = 3               // in a row
	watchingRestart = time.Minute     // a function that cannot be read is asked again after that, at the latest
)

// versions are what is known of a function's versions. Guarded by the function's mu.
type versions struct {
	route    pool.Route // as read last
	revision string
	failures int    // of reading, in a row
	trouble  string // why deployments are not seen; empty: they are, or nobody asked yet
	byName   bool   // versions may not be invoked by their number
}

// planOf is how a rollout is made, as configured.
func planOf(c config.Rollout) rollout.Plan {
	return rollout.Plan{Steps: c.Steps, Hold: c.Hold, MaxErrors: c.MaxErrors, MaxSlower: c.MaxSlower}
}

// follow reads every now and then what the function's qualifier leads to, until ctx ends.
func (f *function) follow(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r, err := f.read(ctx)
		if err == nil && r == (provider.Routing{}) {
			return // a version never changes
		}
		timer.Reset(f.heard(r, err))
	}
}

func (f *function) read(ctx context.Context) (provider.Routing, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return f.provider.Routing(ctx)
}

// heard acts upon what was read, and returns when to read again.
func (f *function) heard(r provider.Routing, err error) time.Duration {
	pause := max(f.config.Rollout.Watch, time.Duration(len(f.d.names))*readEach)
	pause += time.Duration(rand.Int64N(int64(pause)/10 + 1))
	if err == nil {
		f.routed(r, f.plan.settings.Rollout, false)
		return pause
	}
	if f.misread(err) {
		f.log.WithError(err).Warn(unseenDetail)
	}
	if errors.Is(err, provider.ErrForbidden) {
		return forbiddenPause
	}
	return max(pause, min(watchingRestart, 2*pause))
}

// unseenDetail says what it means that the control plane cannot read what the qualifier leads to.
const unseenDetail = "what the function's qualifier leads to cannot be read: a deployment is noticed by the first instance that runs the new " +
	"version, so some requests wait for its start, and the old version cannot be started any more. Allow lambda:GetAlias and " +
	"lambda:GetFunctionConfiguration, or set rollout.watch to 0s"

// misread takes note of an error, and reports whether it is time to warn.
func (f *function) misread(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := &f.versions
	v.failures++
	if !errors.Is(err, provider.ErrForbidden) && v.failures < failuresToWarn || v.trouble != "" {
		return false
	}
	v.trouble = unseenDetail + ": " + oneLine(err.Error(), maxSaid)
	return true
}

// routed begins a rollout if the qualifier leads elsewhere than before, or its code is another. forced begins one anyway.
func (f *function) routed(r provider.Routing, plan rollout.Plan, forced bool) {
	f.mu.Lock()
	v := &f.versions
	moved := r.Route != v.route
	renewed := forced || v.revision != "" && r.Revision != v.revision || v.byName && v.route != (pool.Route{}) && r.Route != v.route
	v.route, v.revision, v.failures, v.trouble = r.Route, r.Revision, 0, ""
	route := r.Route
	if v.byName {
		route = pool.Route{}
	}
	pinned := route != (pool.Route{})
	f.mu.Unlock()
	if moved {
		f.log.WithField("version", routeName(r.Route)).Info("the qualifier leads to")
	}
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Route(at, route, plan, forced && pinned) })
	if renewed && !pinned {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Renew(at, plan, true) })
	}
}

// denied follows the end of an instance whose version Lambda does not let us invoke by its number: from then on it is
// started as the qualifier leads to.
func (f *function) denied(i *instance, end provider.End) {
	f.mu.Lock()
	if i.core.Pin() == "" || end.Cause != scaler.Denied || f.versions.byName {
		f.mu.Unlock()
		return
	}
	f.versions.byName = true
	f.mu.Unlock()
	f.log.WithField("version", i.core.Pin()).Warn("versions of the function may not be invoked by their number: while a rollout lasts, the old " +
		"version cannot be started. Allow lambda:InvokeFunction for the function's ARN with :* behind it")
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		return p.Route(at, pool.Route{}, rollout.Plan{}, false)
	})
	f.do((*pool.Pool).Retry)
}

// StartRollout implements admin.Source.
func (d *Dispatcher) StartRollout(name string, change operator.RolloutPlan) error {
	f := d.functions[name]
	switch {
	case f == nil:
		return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	case f.provider == nil:
		return fmt.Errorf("function %q: %w: its peers register by themselves", name, operator.ErrNotPossible)
	}
	plan := planOf(change.Over(f.config.Rollout))
	d.background.Go(func() {
		r, err := f.read(d.stop)
		if err != nil && d.stop.Err() == nil {
			f.log.WithError(err).Warn("what the qualifier leads to cannot be read: all instances are replaced by what it is")
			f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Renew(at, plan, true) })
			return
		}
		f.routed(r, plan, true)
	})
	return nil
}

// AbortRollout implements admin.Source.
func (d *Dispatcher) AbortRollout(name string) error {
	f := d.functions[name]
	if f == nil {
		return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	}
	aborted := false
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		var e *pool.Effects
		e, aborted = p.AbortRollout(at)
		return e
	})
	if !aborted {
		return fmt.Errorf("function %q: %w: no rollout is under way", name, operator.ErrNotPossible)
	}
	return nil
}

// DrainFunction implements admin.Source: it replaces every instance that the function has now by another, the new ones first.
// At once means without that, and that what is in flight has the drain timeout.
func (d *Dispatcher) DrainFunction(name string, atOnce bool) error {
	f := d.functions[name]
	switch {
	case f == nil:
		return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	case atOnce || f.provider == nil:
		f.do((*pool.Pool).DrainAll)
		d.changed(name)
	default:
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Renew(at, rollout.Plan{Known: true}, false) })
	}
	return nil
}
