package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Instances are reached through their relay. When a relay ends, their sockets are gone. As a rule the relay is soon started again,
// and their peers dial it. So they are worth waiting for, and a new instance could not come up sooner.

// Relay says whether a relay is attached, which a new instance needs to come up. Until the first call one is assumed to be.
func (p *Pool) Relay(now time.Time, attached bool) *Effects {
	now = p.enter(now)
	if p.relayless == attached {
		p.relayless = !attached
		p.back = now.Add(redial)
	}
	p.scale(now)
	return &p.effects
}

// redial is how long peers may take to dial their relay after it is back.
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

// comeBack uncounts an instance that was away and is not Down any more.
func (p *Pool) comeBack(i *Instance) {
	if i.away {
		i.away = false
		p.away--
	}
}

// returning is how many instances that are away are expected back soon.
func (p *Pool) returning() int {
	if p.relayless || p.now.Before(p.back) {
		return p.away
	}
	return 0
}

// lacksRelay tells whether a start failed because there was no relay that its peer could dial. That says nothing about the next start.
func (p *Pool) lacksRelay(cause Cause) bool {
	return (cause == scaler.StartTimeout || cause == scaler.Network) && (p.relayless || p.now.Before(p.back))
}

// missing is when the pool stops waiting for instances that are away; zero: it waits for none.
func (p *Pool) missing() time.Time {
	if p.away == 0 || p.relayless {
		return time.Time{}
	}
	return p.back
}
