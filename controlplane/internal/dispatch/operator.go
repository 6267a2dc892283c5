package dispatch

import (
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
)

// DrainInstance implements admin.Source: it makes one instance finish its work and end.
func (d *Dispatcher) DrainInstance(id string) error {
	i := d.instance(id)
	if i == nil {
		return fmt.Errorf("instance %q: %w", id, operator.ErrNotFound)
	}
	i.function.drain(i)
	return nil
}

// RetryFunction implements admin.Source: it ends the wait after failed starts.
func (d *Dispatcher) RetryFunction(name string) error {
	f := d.named(name)
	if f == nil {
		return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	}
	f.log.Info("an operator says that starts may be tried again")
	f.do((*pool.Pool).Retry)
	return nil
}

// StartRollout implements admin.Source. The rollout begins when Lambda has said what the qualifier points to now.
func (d *Dispatcher) StartRollout(name string, change operator.RolloutPlan) error {
	f, err := d.deployed(name)
	if err != nil {
		return err
	}
	plan := planOf(change.Over(f.settings().config.Rollout))
	f.mu.Lock()
	underway := f.versions.asked != nil
	f.versions.asked = &plan
	f.mu.Unlock()
	if !underway {
		d.spawn(func() { f.look(d.stop) })
	}
	return nil
}

// deployed returns a function that can have a rollout.
func (d *Dispatcher) deployed(name string) (*function, error) {
	f := d.named(name)
	switch {
	case f == nil:
		return nil, fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	case f.settings().provider == nil:
		return nil, fmt.Errorf("function %q: %w: its peers register by themselves", name, operator.ErrNotPossible)
	case f.settings().config.Disabled:
		return nil, fmt.Errorf("function %q: %w: it is disabled", name, operator.ErrNotPossible)
	}
	return f, nil
}

// AbortRollout implements admin.Source.
func (d *Dispatcher) AbortRollout(name string) error {
	f := d.named(name)
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

// DrainFunction implements admin.Source: it replaces every instance of the function by a new one, which starts first. With
// atOnce it only drains: requests in flight have the drain timeout to end. Peers that register by themselves are never replaced.
func (d *Dispatcher) DrainFunction(name string, atOnce bool) error {
	f := d.named(name)
	switch {
	case f == nil:
		return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	case atOnce || f.settings().provider == nil:
		f.do((*pool.Pool).DrainAll)
		d.changed(name)
	default:
		f.renew(rollout.Plan{Known: true}, false)
	}
	return nil
}
