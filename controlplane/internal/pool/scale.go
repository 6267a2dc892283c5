package pool

import (
	"cmp"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// scale does what the policy wants as far as the guards allow, and evicts waiters that nobody will serve. It is called after every
// event that may change either.
func (p *Pool) scale(now time.Time) {
	p.block = scaler.Block{}
	if p.closed != "" || p.onHold {
		return
	}
	p.peak.Observe(now, p.needed())
	want := p.forWaiters(p.withhold(p.rule.Decide(now, p.look())))
	p.startWanted(now, want.Start, want.For)
	p.startWanted(now, want.Replace, scaler.ForRotation)
	if want.Drain > 0 && p.queue.n == 0 && !p.leased && !now.Before(p.settlesAt()) && !now.Before(p.kept) {
		p.drainSurplus(now, want.Drain) // not in an event that leased a slot: that may be of the same instance
	}
	p.proceed(now)
	p.useAside(now)
	p.evictHopeless(now)
}

// look makes the state that the rule decides by.
func (p *Pool) look() *scaler.State {
	next := p.choose(p.now)
	p.state = scaler.State{
		Min: p.settings.Scaling.Min, Max: p.settings.Scaling.Most(),
		Concurrency: p.concurrency(),
		Waiting:     p.queue.n - p.comingBack(p.now),
		Free:        p.free,
		Leased:      p.busy,
		Foreign:     p.foreign - p.idleTaken,
		Live:        p.live,
		Ready:       p.count[Ready],
		Adopted:     p.adopted[Ready],
		Idle:        p.nIdle,
		Starting:    p.count[Starting],
		Rotating:    p.rotating,
		Unreplaced:  p.unreplaced,
		Arrivals:    p.counters.arrivals,
		Departures:  p.counters.departures,
		Starts:      p.counters.started,
		Unreachable: p.unreachable || p.relayless,
		Failing:     p.guards.Breaker.Cause() != "",
		Renewing:    p.roll != nil || p.now.Sub(p.lastRoll.Began) < unhurried || p.now.Before(p.settlesAt()),
		Fleet:       next.fleet,
		Fee:         p.guards.Price().Fee(),
	}
	if p.roll != nil && !next.fresh {
		p.state.Starting -= p.fresh[Starting] // they may take long, and an old one starts at once in a frozen environment
	}
	if p.queue.n > 0 {
		p.state.Oldest = p.queue.head.arrived
	}
	if p.guards.Breaker.Spent() {
		p.state.Waiting = 0 // the waiters have caused all the starts that they may
	}
	return &p.state
}

func (p *Pool) load() scaler.Load { return p.loadOf(p.choose(p.now)) }

// loadOf is what the guards must know about a start.
func (p *Pool) loadOf(o order) scaler.Load {
	going := p.rotating + p.count[Draining]
	if p.roll != nil {
		going += max(0, p.oldToGo())
	}
	return scaler.Load{
		Live: p.live, Starting: p.startsInProgress(), Rotating: going,
		Claimed: p.claimed, Lost: o.fleet.Lost(), Spare: o.fleet.Spare(p.now),
	}
}

// startWanted makes as many of the wanted starts as the guards allow, and remembers what held the rest back. Those for rotation replace
// the oldest instances.
func (p *Pool) startWanted(now time.Time, want int, need scaler.Need) {
	if want <= 0 || p.block.Reason != "" {
		return
	}
	for ; want > 0 && p.block.Reason == ""; want-- {
		o, n := p.choose(now), 0
		if n, p.block = p.guards.Take(now, p.loadOf(o), 1); n == 0 {
			p.giveWay(want)
			return
		}
		i := p.start(now, o, need)
		if need == scaler.ForRotation {
			p.replaceOldest(i)
		}
	}
}

func (p *Pool) start(now time.Time, o order, need scaler.Need) *Instance {
	i := p.add(now, false)
	i.need = need
	i.epoch, i.price = p.guards.Breaker.Epoch(), p.guards.Price()
	i.pin, i.version, i.fleet = o.pin, o.pin, o.fleet
	i.start = i.fleet.Begin(now)
	if i.claims = i.fleet.Claims(i.start); i.claims {
		p.claimed++
	}
	p.setFresh(i, o.fresh)
	if p.roll != nil {
		p.roll.room = false // taken, if there was any
	}
	p.counters.started++
	p.effects.Start = append(p.effects.Start, i)
	return i
}

// drainSurplus drains n ready instances that we started. It takes idle ones first: nobody misses them, and finding them is cheap.
func (p *Pool) drainSurplus(now time.Time, n int) {
	if p.roll != nil {
		p.drainOldSurplus(now, n)
		return
	}
	for ; n > 0 && p.rotating == 0 && p.nIdle > 0; n-- {
		p.drain(now, p.table[p.idle.max()], ScaleIn)
	}
	if n > 0 && p.count[Ready] > p.adopted[Ready] {
		p.drainAny(now, n)
	}
}

// drainOldSurplus drains only idle instances that the rollout will replace.
func (p *Pool) drainOldSurplus(now time.Time, n int) {
	idle := p.drainable(func(i *Instance) bool { return !i.fresh && p.idle.has(i.index) })
	spare := p.count[Ready] - p.fresh[Ready] - p.adopted[Ready] - p.oldToStay()
	for _, i := range idle[:max(0, min(n, len(idle), spare))] {
		p.drain(now, i, ScaleIn)
		p.roll.gone++
	}
}

// drainable returns the ready instances that we started and that fit, in the order in which to drain them: those near their end
// first, then the least loaded, then the oldest.
func (p *Pool) drainable(fits func(*Instance) bool) []*Instance {
	var out []*Instance
	for i := range p.Instances() {
		if i.state == Ready && !i.adopted && fits(i) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b *Instance) int {
		return cmp.Or(a.drainRank()-b.drainRank(), a.leases.n-b.leases.n, a.started.Compare(b.started))
	})
	return out
}

func (p *Pool) drainAny(now time.Time, n int) {
	surplus := p.drainable(func(*Instance) bool { return true })
	for _, i := range surplus[:min(n, len(surplus))] {
		p.drain(now, i, i.surplusReason())
	}
}

// drainRank is lower for instances that drain first.
func (i *Instance) drainRank() int {
	if i.rotating {
		return 0
	}
	return 1
}

func (i *Instance) surplusReason() Reason {
	if i.rotating {
		return Rotation
	}
	return ScaleIn
}

// evictHopeless evicts all waiters if starts keep failing and no instance is left that could serve them.
func (p *Pool) evictHopeless(now time.Time) {
	b := &p.guards.Breaker
	if p.queue.n == 0 || p.mayServe() || !b.Open() && !b.Spent() {
		return
	}
	p.evictAll(now, b.Cause())
	p.block = scaler.Block{}
}
