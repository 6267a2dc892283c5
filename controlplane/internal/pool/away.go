package pool

import "time"

// Instances are reached through their relay. One that ends takes their sockets with it. As a rule it is started again soon, and their
// peers dial it: they are worth waiting for, and nothing else could come up sooner.

// Relay says whether a relay is attached that would let the peer of a new instance in. Until it is called, one is expected.
func (p *Pool) Relay(now time.Time, attached bool) *Effects {
	now = p.enter(now)
	if p.relayless == attached {
		p.relayless = !attached
		p.back = now.Add(redial)
	}
	p.scale(now)
	return &p.effects
}

// redial is how long after their relay is back peers are expected to dial it.
const redial = 2 * time.Second

// Away is Down for an instance that cannot be reached because its relay is gone.
func (p *Pool) Away(now time.Time, i *Instance) *Effects {
	now = p.enter(now)
	switch i.state {
	case Starting:
		p.undial(i)
	case Ready:
		p.move(i, Down)
		i.away = true
		p.away++
		p.scale(now)
	}
	return &p.effects
}

// comeBack follows an instance that is not Down any more.
func (p *Pool) comeBack(i *Instance) {
	if i.away {
		i.away = false
		p.away--
	}
}

// returning is how many instances are expected back soon.
func (p *Pool) returning() int {
	if p.relayless || p.now.Before(p.back) {
		return p.away
	}
	return 0
}

// missing is when instances that are away are not waited for any more; zero: none are.
func (p *Pool) missing() time.Time {
	if p.away == 0 || p.relayless {
		return time.Time{}
	}
	return p.back
}
