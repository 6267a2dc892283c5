package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// complete makes the new route the one in force. What was tried goes if its share is less than one instance. What still serves and is not
// of the route, because it counted among the old ones that stay, is replaced now.
func (p *Pool) complete(now time.Time) {
	r := p.roll
	if spare := p.fresh[Ready] - r.Last(r.n); r.share < 1 && spare > 0 && p.count[Ready]-spare >= p.needed() {
		fresh := p.drainable(func(i *Instance) bool { return i.fresh })
		for _, i := range fresh[:min(spare, len(fresh))] {
			p.drain(now, i, Rollout)
		}
	}
	p.recordEnd("")
	p.route, p.fleet = r.to, r.fleet
	p.seen = nil
	p.endRoll(true)
	if p.route.pinned() && !r.back && p.outlived() {
		p.turnBack(now)
		p.advance(now)
	}
}

// outlived reports whether an instance serves, or will, whose version is not of the route in force.
func (p *Pool) outlived() bool {
	for i := range p.Instances() {
		if (i.state == Starting || i.state == Ready) && i.version != "" && !i.adopted && p.route.share(i.version) == 0 {
			return true
		}
	}
	return false
}

// endRoll forgets which instances were fresh. Their versions are expected from now on. If everything was replaced, an old instance
// that comes back later is stale.
func (p *Pool) endRoll(replaced bool) {
	p.see(p.roll.version) // although none of it may be left
	p.roll = nil
	if replaced {
		p.past = scaler.Outcomes{} // the code is another
	}
	for i := range p.Instances() {
		if i.fresh {
			p.see(i.version)
		}
		i.stale = replaced && !i.fresh && i.state != Ready && p.route.share(i.version) == 0
		p.setFresh(i, false)
	}
}

// AbortRollout gives up the rollout under way, and reports whether there was one.
func (p *Pool) AbortRollout(now time.Time) (*Effects, bool) {
	now = p.enter(now)
	if p.roll == nil || p.roll.back {
		return &p.effects, false
	}
	p.roll.Abort(rollout.ByOperator)
	p.scale(now)
	return &p.effects, true
}

// giveUp ends a rollout that has failed. If the old version can still be started, it replaces the instances of the new one.
func (p *Pool) giveUp(now time.Time) {
	r := p.roll
	p.recordEnd(r.Cause())
	if !r.from.pinned() || r.from == r.to || r.back {
		p.fleet = r.fleet
		p.endRoll(false)
		return
	}
	p.turnBack(now)
	p.rejected = r.to
	p.drainUnborn(now)
	p.advance(now)
}

// drainUnborn drains what starts and does not run the route in force: nobody is to be served by what was given up.
func (p *Pool) drainUnborn(now time.Time) {
	for i := range p.Instances() {
		if i.state == Starting && !i.adopted && p.route.share(i.version) == 0 {
			p.drain(now, i, Rollout)
		}
	}
}

// turnBack replaces what is not of the route in force: what a rollout has brought that was given up, or has left.
func (p *Pool) turnBack(now time.Time) {
	brought := p.fresh[Starting] + p.fresh[Ready]
	p.begin(now, p.route, rollout.Plan{Known: true}, p.fleet)
	p.roll.back = true
	for i := range p.Instances() {
		p.setFresh(i, p.route.share(i.version) > 0)
	}
	if brought > 0 {
		p.reportStep()
	}
}
