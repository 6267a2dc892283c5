package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// An instance whose requests take longer than those of others may be slow, or have got the long ones: clients that ask again at once
// get the slot that they have just given back, so that kinds of requests gather on an instance by themselves. So it is tried: for a
// while a coin sends one of two that come to it, and one to another instance that is about as full. What the coin has sent differs in nothing but the
// instance, and of that the times are compared. Those who waited in the queue count too: whose slot they got is chance as well.

// A trial compares one instance with the others.
type trial struct {
	of     *Instance
	until  time.Time // when it ends without a verdict
	owed   arm       // where the next one goes, so that as many count on each side at any time: it may be a slow time for all
	own    scaler.Pace
	others scaler.Pace
}

// An arm is the side of a trial on which a request counts.
type arm uint8

const (
	none arm = iota
	onSuspect
	onOthers
)

const (
	longestTrial = 10 * time.Second
	// retrial is how long an instance is left alone that was tried and not found slow; each time twice as long.
	retrial = 10 * time.Second
	// alike is by how many leases instances may differ that a trial compares: apps that compute are slower when they are full.
	alike = 2
)

// mayBeTried reports whether the instance may come under suspicion.
func (i *Instance) mayBeTried(now time.Time) bool {
	return i.state == Ready && !i.isLast() && !now.Before(i.tryAgain)
}

// tries gives the trial that is under way, if it still is.
func (p *Pool) tries() *trial {
	t := p.trial
	switch {
	case t == nil:
	case t.of.state != Ready || t.of.isLast() || p.roll != nil:
		p.trial = nil
	case !p.now.Before(t.until):
		p.acquit()
	}
	return p.trial
}

// acquit ends the trial without a verdict.
func (p *Pool) acquit() {
	i := p.trial.of
	i.tryAgain = p.now.Add(min(retrial<<min(i.trials, 8), slowFor))
	i.trials++
	p.trial = nil
}

// assign gives the instance to lease from for a request, and the arm on which it counts.
func (p *Pool) assign(r *Request) (*Instance, arm) {
	usual := p.table[p.next()]
	t := p.tries()
	switch {
	case t == nil || usual.isLast():
		return usual, none
	case r.state == Waiting:
		return usual, t.count(t.armOf(usual))
	}
	other := p.beside(t.of)
	switch {
	case other == nil || t.of.free() == 0:
		return usual, none
	case t.of.leases.n > other.leases.n+alike:
		return other, none
	case t.of.leases.n < other.leases.n-alike:
		return t.of, none
	}
	next := t.owed
	if next == none {
		next = onSuspect + arm(p.rand.Uint64()&1)
	}
	if next == onOthers {
		return other, t.count(next)
	}
	return t.of, t.count(next)
}

func (t *trial) armOf(i *Instance) arm {
	if i == t.of {
		return onSuspect
	}
	return onOthers
}

// count is the arm again, if a request may count on it now.
func (t *trial) count(a arm) arm {
	switch t.owed {
	case none:
		t.owed = onSuspect + onOthers - a
	case a:
		t.owed = none
	default:
		return none
	}
	return a
}

// beside is the instance to lease from if i were not there; nil if there is none but those that are leased last.
func (p *Pool) beside(i *Instance) *Instance {
	p.open.remove(i.index, i.free())
	defer p.open.add(i.index, i.free())
	if index := p.open.next(); index >= 0 {
		return p.table[index]
	}
	return nil
}

// witness takes in how long a request took that counts in the trial, and judges.
func (p *Pool) witness(r *Request, took time.Duration) {
	t := p.tries()
	switch {
	case t == nil || r.arm == none || r.leased.Before(t.until.Add(-longestTrial)):
		return // it counted in another trial
	case r.arm == onSuspect:
		t.own.Add(took, 1)
	default:
		t.others.Add(took, 1)
	}
	switch scaler.Compare(&t.own, &t.others) {
	case scaler.Slower:
		p.condemn(t.of)
	case scaler.Alike:
		p.acquit()
	}
}

// condemn makes an instance slow, unless a quarter of all is: then it is the load that has changed.
func (p *Pool) condemn(i *Instance) {
	if p.slow >= max(1, p.count[Ready]/4) {
		p.acquit()
		return
	}
	p.trial = nil
	p.remember(i.environment)
	p.setSlow(i, true)
	p.beginRotation(p.now, i)
}
