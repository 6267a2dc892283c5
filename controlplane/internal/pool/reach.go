package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// An instance is of no use before Envoy knows its endpoint. While no Envoy is connected nothing is started that nobody
// waits for, and what has dialled is let go rather than billed for ever.

// Reach says whether an Envoy is connected that could send requests to an instance which comes up now. Until it is called,
// one is expected.
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

// How long an instance whose endpoint no Envoy knows is kept: without anybody who waits, no longer than needless; else as
// long as a start may take, or for longestHeld.
const (
	needless    = time.Second
	longestHeld = time.Minute
)

// hold keeps an instance that has dialled until Envoy knows its endpoint, and looks every now and then whether there is still
// a reason to. A peer that nobody invoked costs nothing.
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
	p.unreachable = true // whoever is connected does not take endpoints
	p.fail(now, i, scaler.NoEnvoy)
	p.drain(now, i, NoEnvoy)
}

// withhold takes back what the policy wants while nobody could use it, or while what is away will do.
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
