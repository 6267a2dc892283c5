package pool

import "time"

// Linger: apps may work on after their last answer, and a freeze would stop them. So an instance is kept for a while after
// its last lease. Meanwhile it is ready like any other, and can be leased; it is only not drained as surplus, and one that drains
// for another reason is not told to finish.

// lingers is how much longer the instance is kept after its last lease; 0: no longer.
func (p *Pool) lingers(i *Instance) time.Duration {
	left, linger := p.inTransit(i), p.settings.Linger
	if i == p.single {
		linger = max(linger, singleIdles)
	}
	if linger <= 0 || i.answered.IsZero() || i.leases.n > 0 {
		return left
	}
	return max(left, i.answered.Add(linger).Sub(p.now))
}

// linger keeps the instance, and reports whether there is a reason to.
func (p *Pool) linger(i *Instance) bool {
	left := p.lingers(i)
	if left > 0 {
		p.lingering.set(&i.linger, p.now.Add(left))
	}
	return left > 0
}

// lingered ends that: the instance may be drained, or told to finish.
func (p *Pool) lingered(i *Instance) {
	p.lingering.unset(&i.linger)
	switch i.state {
	case Ready:
		p.startIdling(i)
	case Draining:
		if i.watched() {
			p.recount(p.now, i) // which also finishes it
		}
	}
}
