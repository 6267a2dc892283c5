package pool

import (
	"errors"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A pool may take over from another whose process has ended or hangs. Its instances and their requests go on, and relays tell what
// is known of them.

// ErrIndexTaken is returned by Inherit if another instance has the index.
var ErrIndexTaken = errors.New("pool: the index is taken")

// An Estate is an instance that another pool has started.
type Estate struct {
	Index       int
	Started     time.Time
	Took        time.Duration // from the start until its peer first dialled; 0: it has not
	Cold        bool          // its environment was new
	Environment string
	Version     string // of the code that it runs; empty: not known
	Pin         string // the version that it was started as
	Price       scaler.Price
	Slots       int    // the most that it may have; 0: as many as others
	Adopted     bool   // it registered by itself
	Told        Reason // why it was told to finish; empty: it was not
}

// Hold keeps the pool from deciding anything until Resume, because there may be instances that it does not know yet.
func (p *Pool) Hold() { p.onHold = true }

// StoodStill is Hold for a pool whose process has stalled: meanwhile a caretaker may have leased free slots, and leases may have
// ended unnoticed. The first report of each instance tells how many of its slots are taken.
func (p *Pool) StoodStill(now time.Time) *Effects {
	now = p.enter(now)
	p.onHold = true
	for i := range p.Instances() {
		i.shared, i.reportedIn = true, false
		switch {
		case i.watched():
			p.beginWatch(i)
			p.recount(now, i)
		case i.state == Starting && i.deadline.at > 0: // it may have come up meanwhile, and we have not heard of it yet
			p.timers.set(&i.deadline, later(i.deadline.due, now.Add(lateEvents)))
		}
	}
	return &p.effects
}

// lateEvents is how long events of a stall may take to arrive after it.
const lateEvents = time.Second

// Resume ends Hold.
func (p *Pool) Resume(now time.Time) *Effects {
	now = p.enter(now)
	p.onHold = false
	p.unasked, p.resumed, p.held, p.shares = true, now, now.Add(settleTime), p.sharing()
	p.serve(now)
	p.scale(now)
	return &p.effects
}

// sharing reports whether another process may have leased slots.
func (p *Pool) sharing() bool {
	for i := range p.Instances() {
		if i.shared {
			return true
		}
	}
	return false
}

// Inherit adds an instance that another pool has started. It is starting until Up, like any other, but only for as long as starts
// usually take, because the other process may have ended before it could invoke the function. Exactly one Ended must follow.
func (p *Pool) Inherit(now time.Time, e Estate) (*Instance, error) {
	now = p.enter(now)
	if e.Index < len(p.table) && p.table[e.Index] != nil {
		return nil, ErrIndexTaken
	}
	p.reserveIndex(e.Index)
	i := p.addAt(e.Index, earlier(e.Started, now), e.Adopted)
	i.inherited, i.shared, i.startedWell = true, true, e.Took > 0
	i.fleet, i.took, i.environment = p.fleet, e.Took, e.Environment
	i.pin, i.version, i.price, i.most = e.Pin, e.Version, e.Price, e.Slots
	i.epoch = p.guards.Breaker.Epoch()
	p.counters.inherited++
	p.inherited[Starting]++
	if !e.Adopted {
		p.guards.Inherit(now, i.price)
		p.inheritStart(now, i, e)
	}
	if e.Told != "" {
		i.reason = e.Told
		p.beginDrain(now, i)
		p.setFinished(i)
	}
	return i, nil
}

// inheritStart tells the fleet how long the start took, or that it goes on. The peer of an instance that was up may have to dial again.
func (p *Pool) inheritStart(now time.Time, i *Instance, e Estate) {
	wait := i.fleet.Latest()
	if e.Took > 0 {
		wait = max(wait, redial)
	}
	p.timers.set(&i.deadline, now.Add(wait))
	if e.Took > 0 {
		i.fleet.Runs(now, e.Environment, e.Took, e.Cold)
	} else {
		i.start = i.fleet.Begin(i.started)
	}
}

// reserveIndex takes an index that is free, or that rests after an instance of our own.
func (p *Pool) reserveIndex(index int) {
	for len(p.table) <= index {
		p.freeIndex.add(len(p.table))
		p.table = append(p.table, nil)
	}
	p.freeIndex.remove(index)
	p.resting = slices.DeleteFunc(p.resting, func(r restingIndex) bool { return r.index == index })
}

// giveUpInherited stops counting on a start of another pool that takes longer than usual. It may still come up, so the money that
// it claims stays claimed. One that has never dialled may not have been made, or has ended while nobody led.
func (p *Pool) giveUpInherited(i *Instance) {
	i.fleet.Over(p.now, i.start)
	p.move(i, Down)
	if !i.startedWell {
		i.doubted, i.failed = true, true // it says nothing about starts
		p.doubted++
	}
}

// giveWay cuts off as many doubted starts as Max holds wanted ones back for. Their money stays claimed, in case they run.
func (p *Pool) giveWay(want int) {
	if p.doubted == 0 || p.block.Reason != scaler.AtMax {
		return
	}
	for i := range p.Instances() {
		if i.doubted && !i.awaitsApp && want > 0 {
			want--
			if !i.killed {
				i.final, i.killed = true, true
				p.effects.Kill = append(p.effects.Kill, i)
			}
		}
	}
}

// believe uncounts a doubted start that has come up or ended.
func (p *Pool) believe(i *Instance) {
	if i.doubted {
		i.doubted = false
		p.doubted--
	}
}

// unreported reports whether it is not known yet how much the instance has in flight.
func (i *Instance) unreported() bool { return i.shared && !i.reportedIn }

// countLegacy is called when an instance's foreign slots have changed. Until the first request comes, all foreign slots of a shared
// instance count as legacy: requests that the former pool or a caretaker has leased.
func (p *Pool) countLegacy(i *Instance) {
	switch {
	case !i.shared:
	case !i.reportedIn, p.unasked:
		i.legacy = i.foreign
	default:
		i.legacy = min(i.legacy, i.foreign)
	}
}

// transit bounds the time from when another pool leases a slot until this pool sees the slot as foreign.
const transit = 200*time.Millisecond + reportEvery + foreignFor

// inTransit is how much longer a shared instance that drains is kept, because another pool may have sent a request that is still on
// its way.
func (p *Pool) inTransit(i *Instance) time.Duration {
	if !i.shared || i.state != Draining {
		return 0
	}
	return max(0, i.drained.Add(transit).Sub(p.now))
}
