package pool

import "time"

// An app may work on after its last answer, and a freeze would stop it. So an instance lingers: it is kept for a while after its
// last lease. Meanwhile it can be leased like any other, but it is not drained as surplus, and if it drains for another reason it
// is not told to finish.

// lingers is how much longer the instance must be kept after its last lease.
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

// linger sets the timer until which the instance is kept, and reports whether it must be kept.
func (p *Pool) linger(i *Instance) bool {
	left := p.lingers(i)
	if left > 0 {
		p.lingering.set(&i.linger, p.now.Add(left))
	}
	return left > 0
}

// lingered is that timer's effect: the instance may be drained, or told to finish.
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
