package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// An instance is of no use before Envoy knows its endpoint. While no Envoy is connected, instances start only for waiters, and
// those whose peers have dialled are drained rather than billed for ever.

// Reach says whether an Envoy is connected, which could send requests to an instance that comes up now. Until the first call one is
// assumed to be.
func (p *Pool) Reach(now time.Time, reachable bool) *Effects {
	now = p.enter(now)
	if p.unreachable == !reachable {
		return &p.effects
	}
	p.unreachable = !reachable
	if reachable && p.guards.Breaker.Cause() == scaler.NoEnvoy {
		p.guards.Breaker.Retry()
	}
	p.scale(now)
	return &p.effects
}

// How long an instance is kept whose endpoint no Envoy knows: without waiters for needless, otherwise for the start timeout, or for
// longestHeld if there is none.
const (
	needless    = time.Second
	longestHeld = time.Minute
)

// hold keeps an instance that has dialled until Envoy knows its endpoint. A timer checks regularly whether there is still a
// reason to. An adopted one costs nothing, and is kept for ever.
func (p *Pool) hold(now time.Time, i *Instance) {
	if i.adopted {
		p.timers.unset(&i.deadline)
		return
	}
	if i.heldUntil.IsZero() {
		limit := p.settings.StartTimeout
		if limit <= 0 {
			limit = longestHeld
		}
		i.heldUntil = now.Add(limit)
	}
	p.timers.set(&i.deadline, earlier(now.Add(needless), i.heldUntil))
}

// letGo is the effect of that timer.
func (p *Pool) letGo(now time.Time, i *Instance) {
	useless := p.unreachable && p.queue.n == 0
	if !useless && now.Before(i.heldUntil) {
		p.hold(now, i)
		return
	}
	p.unreachable = true // an Envoy that is connected takes no endpoints
	p.fail(now, i, scaler.NoEnvoy)
	p.drain(now, i, NoEnvoy)
}

// withhold reduces what the policy wants while no instance could come up or be used, or while instances that are away are expected
// back.
func (p *Pool) withhold(want scaler.Want) scaler.Want {
	var reason scaler.Reason
	switch {
	case want.Start+want.Replace == 0:
		return want
	case p.relayless:
		reason = scaler.Relayless
	case p.unreachable && p.queue.n == 0:
		reason = scaler.Unreachable
	default:
		want.Start = max(0, want.Start-p.returning())
		return want
	}
	p.block = scaler.Block{Reason: reason}
	want.Start, want.Replace = 0, 0
	return want
}
