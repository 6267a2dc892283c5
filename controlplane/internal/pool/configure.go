package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Configure gives the pool other settings. Spread, Seed and Scaling.Total stay as they were. No lease and no waiter is lost: a
// lower limit holds only for what comes. Waiters wait no longer than the old and the new timeout allow. Slots become fewer at
// once, but leases beyond them stay until they end. An instance never gets more slots than its peer was asked for. Instances
// beyond Scaling.Max, or beyond the ceiling in dollars, drain.
func (p *Pool) Configure(now time.Time, s Settings) *Effects {
	now = p.enter(now)
	before := p.settings
	s.Concurrency, s.Spread, s.Seed, s.Scaling.Total = max(1, s.Concurrency), before.Spread, before.Seed, before.Scaling.Total
	p.settings = s
	p.exceeded.waiting, p.exceeded.starting, p.exceeded.live = p.queue.n-p.returned, p.startsInProgress(), p.live
	p.rule = scaler.Reconfigured(p.rule, s.Scaling)
	p.guards.Configure(now, s.Scaling)
	p.shorten(s.QueueTimeout)
	p.evictLate(now)
	if s.Concurrency != before.Concurrency || s.Learn != before.Learn {
		p.resize()
	}
	p.retime(before)
	p.serve(now)
	p.shrink(now)
	p.scale(now)
	return &p.effects
}

// shorten lets no waiter wait for longer than limit; 0: for ever.
func (p *Pool) shorten(limit time.Duration) {
	for r := p.queue.head; r != nil && limit > 0; r = r.next {
		r.due = earlier(r.due, r.arrived.Add(limit))
	}
}

// resize gives all instances as many slots as they may have now. Samples of a limiter that is replaced are dropped.
func (p *Pool) resize() {
	most, limiter := p.settings.Concurrency, p.limiter
	p.single = nil
	switch {
	case !p.settings.Learn:
		p.limiter = nil
	case p.limiter == nil:
		p.limiter = scaler.NewLimiter(most)
	default:
		p.limiter.Bound(most)
	}
	p.unlist()
	p.capacity, p.free = 0, 0
	for i := range p.Instances() {
		i.slots, i.exceed = p.slotsOf(i), i.leases.n
		for r := range i.Leases() {
			if p.limiter != limiter {
				r.sample = 0
			}
		}
		if i.state == Ready {
			p.capacity += i.slots
			p.free += i.free()
			p.index(i).add(i.index, i.free())
		}
	}
}

// retime resets the timers that depend on settings that have changed.
func (p *Pool) retime(before Settings) {
	if (p.settings.StartTimeout > 0) != (before.StartTimeout > 0) {
		for i := range p.Instances() {
			if i.state == Starting && !i.dialled && (i.adopted || !i.inherited) {
				p.setStartTimeout(i)
			}
		}
	}
	if p.settings.Margin != before.Margin {
		p.reconsider()
	}
}

// shrink drains instances beyond the maximum: idle ones first, then starting ones, then the least loaded.
func (p *Pool) shrink(now time.Time) {
	if p.closed != "" || p.onHold {
		return
	}
	ours := p.count[Ready] + p.count[Starting] - p.adopted[Ready] - p.adopted[Starting]
	for over := ours - p.allowed(); over > 0; over-- {
		i := p.superfluous()
		if i == nil {
			return
		}
		p.drain(now, i, ScaleIn)
	}
}

// allowed is how many instances that we started may exist, those that replace others included.
func (p *Pool) allowed() int {
	replaced := p.rotating
	if p.roll != nil {
		replaced += max(0, p.oldToGo())
	}
	return p.guards.Most() + min(replaced, p.settings.Scaling.Surge())
}

// superfluous is the instance to drain first of those that we started; nil if there is none.
func (p *Pool) superfluous() *Instance {
	if p.nIdle > 0 {
		return p.table[p.idle.max()]
	}
	var youngest *Instance
	for i := range p.Instances() {
		if i.state == Starting && !i.adopted && (youngest == nil || i.started.After(youngest.started)) {
			youngest = i
		}
	}
	if youngest != nil {
		return youngest
	}
	for _, i := range p.drainable(func(*Instance) bool { return true }) {
		return i
	}
	return nil
}
