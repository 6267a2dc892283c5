package pool

import (
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// ErrFull is returned by Adopt if there are Max instances.
var ErrFull = errors.New("pool: the maximum of instances is reached")

// ErrClosed is returned by Adopt after Close.
var ErrClosed = errors.New("pool: closed")

// An End says how an invocation ended.
type End struct {
	Cause   Cause  // a start cause; empty: without failure
	Gone    bool   // its environment has ended with it
	Lost    bool   // it is not known to have ended: it may run on for as long as a start may take
	GivenUp bool   // a control plane had it cut off: its start has not failed by itself
	Version string // of the code that ran; empty: not known
}

// Up says that the instance's peer is there and offers slots, of which at most Settings.Concurrency are used. Waiters are served at
// once. An instance that was killed before is killed again, and one that was told to finish is told again.
func (p *Pool) Up(now time.Time, i *Instance, slots int) *Effects {
	now = p.enter(now)
	switch {
	case i.killed:
		p.effects.Kill = append(p.effects.Kill, i)
	case i.state == Draining && i.finished:
		p.finish(i)
	case i.state == Starting || i.state == Down && !i.final:
		p.ready(now, i, slots)
	}
	return &p.effects
}

// Dialled says that the instance's peer is there, but no Envoy knows its endpoint yet. The start has not failed, but the instance
// is not kept for ever: see hold.
func (p *Pool) Dialled(now time.Time, i *Instance) *Effects {
	now = p.enter(now)
	if i.state == Starting {
		p.noteDial(now, i)
		i.dialled = true
		p.hold(now, i)
	}
	return &p.effects
}

// noteDial records how long the start took until the peer first dialled.
func (p *Pool) noteDial(now time.Time, i *Instance) {
	if i.took > 0 {
		return
	}
	i.took = max(now.Sub(i.started), 1)
	p.compareVersion(now, i)
	i.cold = !i.claims
	if i.environment != "" && !i.adopted {
		if i.reused {
			i.fleet.Found(i.environment)
		}
		i.cold = i.fleet.Up(now, i.environment, i.took, i.start)
	}
	i.fleet.Over(now, i.start)
}

func (p *Pool) ready(now time.Time, i *Instance, slots int) {
	first := !i.wasUp
	i.wasUp = true
	p.noteDial(now, i)
	if !first {
		i.epoch = p.guards.Breaker.Epoch() // that it serves again counts also for a breaker that it opened itself
	}
	i.offered = max(1, min(slots, p.settings.Concurrency), i.leases.n)
	i.slots = p.slotsOf(i)
	if first {
		i.up = now
		p.beginLife(now, i)
	}
	if !i.ends.IsZero() && i.ends.Sub(now)-p.least(i) < leastLife {
		p.tooLate(now, i, first)
		return
	}
	if i.stale {
		p.drain(now, i, Rollout)
		p.scale(now)
		return
	}
	if first {
		p.recognize(i)
	}
	p.move(i, Ready)
	p.setRotation(now, i)
	if i.isLast() {
		p.beginRotation(now, i)
	}
	if first && !i.adopted {
		p.guards.Breaker.Up(i.epoch)
	}
	if first && i.fresh {
		p.roll.Up()
	}
	p.serve(now)
	p.finishReplacement(now, i)
	p.scale(now)
}

// leastLife is the least time that an instance must have left to serve when it is up. A function that leaves less of its timeout
// would be invoked for every other request, so its starts count as failed.
const leastLife = 100 * time.Millisecond

// beginLife sets how much time an instance has that is up for the first time.
func (p *Pool) beginLife(now time.Time, i *Instance) {
	if i.ends.IsZero() && p.settings.Lifetime > 0 && !i.adopted {
		i.ends = i.started.Add(p.settings.Lifetime)
	}
	if !i.ends.IsZero() {
		i.life = max(0, i.ends.Sub(now))
		i.jitter = p.rand.Float64()
	}
}

// tooLate drains an instance whose lifetime was nearly over when it came up.
func (p *Pool) tooLate(now time.Time, i *Instance, first bool) {
	if first {
		p.fail(now, i, scaler.TooShort)
	}
	p.drain(now, i, Rotation)
	p.scale(now)
}

// Draining says that the peer drains by its own decision. It gets no lease any more.
func (p *Pool) Draining(now time.Time, i *Instance) *Effects {
	now = p.enter(now)
	if i.state == Starting || i.state == Ready {
		p.beginDrain(now, i)
		p.finishIdle(i)
		p.failUnserved(now, i)
		p.scale(now)
	}
	return &p.effects
}

// Drain makes the instance finish and end.
func (p *Pool) Drain(now time.Time, i *Instance, why Reason) *Effects {
	now = p.enter(now)
	if i.mayServe() {
		p.drain(now, i, why)
		p.scale(now)
	}
	return &p.effects
}

// DrainAll makes all instances finish and end, whether others can take their place or not. Requests in flight have the drain
// timeout to end.
func (p *Pool) DrainAll(now time.Time) *Effects {
	now = p.enter(now)
	p.drainAll(now, Operator)
	p.scale(now)
	return &p.effects
}

func (p *Pool) drainAll(now time.Time, why Reason) {
	for i := range p.Instances() {
		if i.mayServe() {
			p.drain(now, i, why)
		}
		p.hurry(now, i)
	}
}

func (p *Pool) drain(now time.Time, i *Instance, why Reason) {
	i.reason = why
	p.effects.Drain = append(p.effects.Drain, i)
	p.beginDrain(now, i)
	p.finishIdle(i)
}

// lastCall is how long before it is killed an instance is told to finish although leases are out on it, so that its peer can end
// the remaining requests in order.
const lastCall = time.Second

// beginDrain makes an instance drain. Requests in flight may go on for as long as the invocation does.
func (p *Pool) beginDrain(now time.Time, i *Instance) {
	i.final, i.drained = true, now
	p.move(i, Draining)
	i.killAt = i.ends
	if i.ends.IsZero() {
		i.killAt = now.Add(p.settings.DrainTimeout)
	}
	p.setKill(now, i)
}

// hurry makes a drain end within the drain timeout from now.
func (p *Pool) hurry(now time.Time, i *Instance) {
	if by := now.Add(p.settings.DrainTimeout); i.state == Draining && !i.killed && by.Before(i.killAt) {
		i.killAt = by
		p.setKill(now, i)
	}
}

// setKill sets the timer of an instance that drains.
func (p *Pool) setKill(now time.Time, i *Instance) {
	p.timers.set(&i.deadline, i.killAt.Add(-min(lastCall, i.killAt.Sub(now)/4)))
}

// finishIdle tells a draining instance to finish, once no lease is out on it, no slot is foreign and it need not linger. Before
// that a request may still be on its way through Envoy. A peer that has nothing in flight cannot know of it, and would be gone
// when the request comes. Without a lease no client waits for what the peer still does, so that has only the drain timeout.
func (p *Pool) finishIdle(i *Instance) {
	if i.finished || i.leases.n > 0 || i.unreported() || p.linger(i) {
		return
	}
	if i.legacy == 0 { // legacy requests have clients although no lease of this pool is out
		p.hurry(p.now, i)
	}
	if i.foreign == 0 {
		p.finish(i)
	}
}

func (p *Pool) finish(i *Instance) {
	p.setFinished(i)
	p.effects.Finish = append(p.effects.Finish, i)
}

// setFinished records that the instance was told to finish, by this pool or by the former one. Its environment will soon freeze.
func (p *Pool) setFinished(i *Instance) {
	if !i.finished && !i.worn && (i.reason == ScaleIn || i.reason == Rotation || i.reason == Rollout) {
		i.start = i.fleet.Settle(p.now)
	}
	i.finished = true
	p.endWatch(i)
}

// Down says that no request can reach the instance any more. Its leases stay until they are released, and it counts as live until
// Ended. Up brings it back unless it was draining. An instance that was not up yet stays starting, within its time.
func (p *Pool) Down(now time.Time, i *Instance) *Effects {
	now = p.enter(now)
	p.undial(i)
	if i.state == Ready || i.state == Draining {
		if p.roll != nil && i.fresh && i.state == Ready {
			p.roll.Unreachable(now)
		}
		p.move(i, Down)
		p.failUnserved(now, i)
		p.scale(now)
	}
	return &p.effects
}

// undial lets the start timeout run again for an instance whose peer was there.
func (p *Pool) undial(i *Instance) {
	if i.state == Starting && i.dialled {
		i.dialled = false
		p.setStartTimeout(i)
	}
}

// failUnserved counts a failed start if an instance leaves by itself, has served nothing, and would be replaced at once. It must do
// so before the invocation ends, or else the replacement would be started as if nothing had happened.
func (p *Pool) failUnserved(now time.Time, i *Instance) {
	if p.mayFail(i) && i.wasUp && i.unused() && p.missed() {
		p.fail(now, i, scaler.TooShort)
	}
}

// unused reports whether the instance has certainly served no request. A shared one may have served requests of another process.
func (i *Instance) unused() bool { return i.granted == 0 && !i.shared }

// missed reports whether an instance that has just left would be replaced at once.
func (p *Pool) missed() bool {
	return p.queue.n > 0 || p.count[Ready]+p.count[Starting] < p.settings.Scaling.Min
}

// mayFail reports whether the end of i may count as a failed start: we started it, did not drain it, and have not counted it yet.
func (p *Pool) mayFail(i *Instance) bool { return !i.adopted && !i.failed && i.reason == "" }

// Ended says that the invocation has ended, or that a peer that registered is gone for good. It is a failed start if the instance
// was never up. It is one too if the instance has served nothing, was not told to end, and would be replaced at once.
func (p *Pool) Ended(now time.Time, i *Instance, end End) *Effects {
	now = p.enter(now)
	if i.state == Gone {
		return &p.effects
	}
	p.noteVersion(now, i, end)
	p.drop(now, i)
	p.refund(now, i, end)
	p.counters.ended++
	i.fleet.Over(now, i.start)
	i.fleet.Ended(now, i.environment, end.Cause != "" || end.Gone)
	if p.mayFail(i) && !i.wasUp && !i.startedWell && !end.GivenUp {
		p.fail(now, i, scaler.StartCause(end.Cause))
	}
	if i.late && !i.adopted {
		p.guards.Breaker.Explain(end.Cause)
	}
	p.failUnserved(now, i)
	if p.roll != nil && i.fresh && i.wasUp && !i.failed && blames(end.Cause) {
		p.roll.Crashed(now)
	}
	p.scale(now)
	return &p.effects
}

// refund gives back the money that the start had claimed.
func (p *Pool) refund(now time.Time, i *Instance, end End) {
	if i.adopted {
		return
	}
	var hold time.Duration
	if end.Lost {
		hold = p.settings.StartTimeout
	}
	p.guards.Release(now, i.price, hold)
	if i.wasUp {
		p.guards.Breaker.Freed(now)
	}
}

// Retry says that the reason why starts failed is gone, as an operator knows.
func (p *Pool) Retry(now time.Time) *Effects {
	now = p.enter(now)
	p.guards.Breaker.Retry()
	p.scale(now)
	return &p.effects
}

// Reprice sets the price of instances that are started from now on.
func (p *Pool) Reprice(price scaler.Price) { p.guards.Reprice(price) }

// fail counts a failed start, once per instance.
func (p *Pool) fail(now time.Time, i *Instance, cause Cause) {
	i.failed = true
	if i.adopted {
		return
	}
	p.counters.failed.add(cause)
	if p.lacksRelay(cause) {
		return
	}
	if p.roll != nil && i.fresh && blames(cause) {
		p.setBack(now, i, cause) // a fault of new code must not hold back starts of the old code
		return
	}
	if cause == scaler.StartTimeout && i.start != nil && i.fleet.Alone(i.start) {
		return // it began long ago, and says nothing about the next start
	}
	p.guards.Breaker.Failed(now, cause, i.epoch, i.wasUp)
}

// setBack tells the rollout that a start failed, or that an instance came up and left without serving.
func (p *Pool) setBack(now time.Time, i *Instance, cause Cause) {
	if i.wasUp && i.state != Starting {
		p.roll.Crashed(now)
	} else {
		p.roll.Failed(now, i.started, string(cause))
	}
}

// Adopt adds a peer that registered by itself. It is starting until Up. The scaler never drains it.
func (p *Pool) Adopt(now time.Time) (*Instance, error) {
	now = p.enter(now)
	if p.closed != "" {
		return nil, ErrClosed
	}
	if limit := p.settings.Scaling.Max; limit > 0 && p.live >= limit {
		return nil, ErrFull
	}
	p.counters.adopted++
	i := p.add(now, true)
	i.fleet = p.fleet // not nil, but never told of an adopted instance
	return i, nil
}

// Dismiss evicts all waiters with the cause, because another process decides. When this one is asked again it goes on where that one
// was.
func (p *Pool) Dismiss(now time.Time, cause Cause) *Effects {
	now = p.enter(now)
	p.evictAll(now, cause)
	p.unasked, p.resumed = true, now
	return &p.effects
}

// Vacate evicts all waiters with the cause, gives up a rollout, and drains all instances. Requests in flight go on as in any drain.
// The pool stays open. A caller that wants it to stay empty configures it to start nothing, and passes it no request.
func (p *Pool) Vacate(now time.Time, cause Cause) *Effects {
	now = p.enter(now)
	p.evictAll(now, cause)
	if p.roll != nil {
		p.endRoll(false)
	}
	for i := range p.Instances() {
		if i.mayServe() {
			p.drain(now, i, Operator)
		}
	}
	p.scale(now)
	return &p.effects
}

// Close evicts all waiters, drains all instances, and rejects requests that arrive from now on, all with the cause.
func (p *Pool) Close(now time.Time, cause Cause) *Effects {
	now = p.enter(now)
	if p.closed != "" {
		return &p.effects
	}
	if p.closed = cause; cause == "" {
		p.closed = Closed
	}
	p.evictAll(now, p.closed)
	if p.roll != nil {
		p.endRoll(false)
	}
	p.drainAll(now, Stopping)
	p.scale(now)
	return &p.effects
}

// blames reports whether a failed start is the fault of the function's code.
func blames(cause Cause) bool {
	switch cause {
	case scaler.InitFailed, scaler.Crashed, scaler.TimedOut, scaler.FunctionError, scaler.StartTimeout, scaler.TooShort:
		return true
	}
	return false
}
