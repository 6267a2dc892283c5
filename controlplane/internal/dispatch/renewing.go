package dispatch

import (
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
)

// StartRollout implements admin.Source. The rollout begins when Lambda has said what the qualifier leads to now.
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

// deployed is the function whose code somebody deploys.
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

// DrainFunction implements admin.Source: it replaces every instance that the function has now by another, the new ones first.
// At once means without that, and that what is in flight has the drain timeout. Nothing replaces peers that register by
// themselves.
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

// spawn does work in the background, unless the dispatcher stops.
func (d *Dispatcher) spawn(work func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop.Err() == nil {
		d.background.Go(work)
	}
}

// halt ends what is done in the background, and Invoke calls. Nothing is spawned afterwards.
func (d *Dispatcher) halt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut()
}
