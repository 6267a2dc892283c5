package pool

import (
	"fmt"
	"slices"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Check returns an error for the first invariant that does not hold. It looks at everything, so it is for tests and simulations.
func (p *Pool) Check() error {
	for _, check := range []func() error{
		p.checkInstances, p.checkCounts, p.checkIdle, p.checkQueue, p.checkTimers, p.checkStarts, p.checkRotation, p.checkRollout,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pool) checkInstances() error {
	for index, i := range p.table {
		if i == nil {
			resting := slices.ContainsFunc(p.resting, func(r restingIndex) bool { return r.index == index })
			if p.freeIndex.has(index) == resting {
				return fmt.Errorf("index %d: free: %t, resting: %t", index, !resting, resting)
			}
			continue
		}
		if err := p.checkInstance(index, i); err != nil {
			return fmt.Errorf("instance %d (%s): %w", index, i.state, err)
		}
	}
	return nil
}

func (p *Pool) checkInstance(index int, i *Instance) error {
	switch {
	case i.index != index:
		return fmt.Errorf("stands at another index than its own, %d", i.index)
	case p.freeIndex.has(index):
		return fmt.Errorf("its index is free for others")
	case i.state == Gone:
		return fmt.Errorf("gone, but still listed")
	case i.leases.n > i.offered, i.leases.n > max(i.slots, i.exceed) && !p.settings.Learn:
		return fmt.Errorf("%d leases on %d slots of %d", i.leases.n, i.slots, i.offered)
	case i.slots > p.settings.Concurrency, i.slots > i.offered:
		return fmt.Errorf("%d slots of %d, asked for %d", i.slots, i.offered, p.settings.Concurrency)
	case i.state == Draining && i.leases.n == 0 && i.foreign == 0 && i.linger.at == 0 && !i.unreported() && !i.finished:
		return fmt.Errorf("has nothing in flight, and was not told to finish")
	case i.foreign < 0, i.foreign > 0 && !i.watched():
		return fmt.Errorf("%d foreign slots", i.foreign)
	case i.final && i.state != Draining && i.state != Down:
		return fmt.Errorf("may never serve again, but is %s", i.state)
	}
	return p.checkLeases(i)
}

// checkLeases checks that the instance can be leased exactly if it is ready and has a free slot, and that its leases
// name it.
func (p *Pool) checkLeases(i *Instance) error {
	for _, index := range p.lists() {
		free := 0
		if index == p.index(i) {
			free = i.free()
		}
		if !index.lists(i.index, free) {
			return fmt.Errorf("has %d free slots, and is not listed so", i.free())
		}
	}
	n, refused, streams := 0, 0, 0
	for r := i.leases.head; r != nil; r = r.next {
		if n++; r.state != Leased || r.instance != i {
			return fmt.Errorf("a lease in state %d", r.state)
		}
		if r.refused {
			refused++
		}
		if r.Stream {
			streams++
		}
	}
	if n != i.leases.n || refused != i.refused || streams != i.streams {
		return fmt.Errorf("%d leases, %d of them refused and %d streams, counted %d, %d and %d", n, refused, streams, i.leases.n, i.refused, i.streams)
	}
	return nil
}

func (p *Pool) checkCounts() error {
	leases, capacity, busy, free, foreign, live, rotating, unreplaced, away, doubted := p.lost, 0, 0, 0, 0, 0, 0, 0, 0, 0
	var count, adopted, fresh [Gone]int
	slow := 0
	var outcomes scaler.Outcomes
	for i := range p.Instances() {
		live++
		leases += i.leases.n
		count[i.state]++
		free += i.free()
		if i.adopted {
			adopted[i.state]++
		}
		if i.fresh {
			fresh[i.state]++
		}
		if i.state == Ready {
			capacity += i.slots
			busy += i.leases.n
			foreign += i.foreign
		}
		if i.state == Ready && i.slow {
			slow++
		}
		outcomes.Add(i.outcomes)
		if i.away && i.state == Down {
			away++
		}
		if i.doubted && i.state == Down {
			doubted++
		}
		if i.rotating {
			rotating++
		}
		if i.rotating && !i.replaced {
			unreplaced++
		}
	}
	got := [...]int{p.inFlight, p.capacity, p.busy, p.free, p.foreign, p.live, p.rotating, p.unreplaced, p.away, p.doubted}
	want := [...]int{leases, capacity, busy, free, foreign, live, rotating, unreplaced, away, doubted}
	if outcomes != p.outcomes {
		return fmt.Errorf("answers and errors are counted as %v, but are %v", p.outcomes, outcomes)
	}
	if slow != p.slow || got != want || count != p.count || adopted != p.adopted || fresh != p.fresh {
		return fmt.Errorf("in-flight, capacity, busy, free, foreign, live, rotating, unreplaced, away, doubted are counted as %v, but are %v", got, want)
	}
	return nil
}

func (p *Pool) checkIdle() error {
	n, taken := 0, 0
	for i := range p.Instances() {
		idle := i.state == Ready && !i.adopted && i.leases.n == 0 && i.legacy == 0 && i.linger.at == 0
		if idle {
			n++
			taken += i.foreign
		}
		if idle != p.idle.has(i.index) {
			return fmt.Errorf("instance %d (%s): listed as idle: %t, is: %t", i.index, i.state, !idle, idle)
		}
	}
	if n != p.nIdle || taken != p.idleTaken {
		return fmt.Errorf("%d idle instances with %d foreign slots, counted %d with %d", n, taken, p.nIdle, p.idleTaken)
	}
	return nil
}

func (p *Pool) checkQueue() error {
	n, returned := 0, 0
	for r := p.queue.head; r != nil; r = r.next {
		if n++; r.state != Waiting {
			return fmt.Errorf("queue: a request in state %d", r.state)
		}
		if r.returned {
			returned++
		}
		if r.next != nil && r.next.due.Before(r.due) {
			return fmt.Errorf("queue: a later request may wait no longer than to %v, an earlier one to %v", r.next.due, r.due)
		}
		if r.next != nil && r.next.arrived.Before(r.arrived) {
			return fmt.Errorf("queue: a later request stands before an earlier one")
		}
	}
	switch {
	case n != p.queue.n, returned != p.returned:
		return fmt.Errorf("queue: %d waiters, %d of them returned, counted %d and %d", n, returned, p.queue.n, p.returned)
	case n-returned > max(p.settings.QueueLimit, p.exceeded.waiting):
		return fmt.Errorf("queue: %d waiters, limit %d", n-returned, p.settings.QueueLimit)
	case n > 0 && p.leasable():
		return fmt.Errorf("queue: %d waiters beside %d free slots", n, p.free)
	case n > 0 && p.closed != "":
		return fmt.Errorf("queue: %d waiters in a closed pool", n)
	}
	return nil
}

// checkTimers checks that everything that has a deadline has a timer.
func (p *Pool) checkTimers() error {
	for _, heap := range []timers{p.timers, p.lingering, p.reviews} {
		for k, t := range heap {
			if t.at != k+1 || p.table[t.of.index] != t.of || k > 0 && t.due.Before(heap[(k-1)/2].due) {
				return fmt.Errorf("timer %d: of instance %d, out of order", k, t.of.index)
			}
		}
	}
	for i := range p.Instances() {
		timed := i.state == Starting && ((i.dialled || i.inherited) && !i.adopted || !i.dialled && p.settings.StartTimeout > 0) || i.state == Ready && !i.ends.IsZero() ||
			i.state == Draining && !i.killed
		if timed != (i.deadline.at > 0) {
			return fmt.Errorf("instance %d (%s): has a timer: %t, needs one: %t", i.index, i.state, i.deadline.at > 0, timed)
		}
	}
	return nil
}

// checkStarts checks the bounds on starts, and that every start ends once.
func (p *Pool) checkStarts() error {
	s, c := p.settings.Scaling, p.counters
	own := p.live
	for _, n := range p.adopted {
		own -= n
	}
	switch {
	case p.startsInProgress()-p.inherited[Starting]-p.claimed > max(p.exceeded.starting, s.StartsInProgress):
		return fmt.Errorf("%d starts in progress, budget %d", p.startsInProgress(), s.StartsInProgress)
	case own > 0 && c.inherited == 0 && p.live > max(p.exceeded.live, s.Max+s.Surge()):
		return fmt.Errorf("%d instances, at most %d and %d for rotation", p.live, s.Max, s.Surge())
	case c.started+c.adopted+c.inherited != c.ended+uint64(p.live):
		return fmt.Errorf("%d started, %d adopted and %d inherited, but %d ended and %d live", c.started, c.adopted, c.inherited, c.ended, p.live)
	case c.failed.Total() > c.started+c.inherited:
		return fmt.Errorf("%d failed of %d starts", c.failed.Total(), c.started)
	}
	return nil
}

func (p *Pool) checkRotation() error {
	for i := range p.Instances() {
		switch {
		case i.rotating && i.state != Ready, i.replaced && !i.rotating:
			return fmt.Errorf("instance %d (%s): rotating %t, replaced %t", i.index, i.state, i.rotating, i.replaced)
		case i.replaces != nil && i.state != Starting && i.replaces.rotating:
			return fmt.Errorf("instance %d (%s): replaces another, but is not starting", i.index, i.state)
		}
	}
	return nil
}

// checkRollout checks that fresh instances exist only during a rollout, and run the version that it brings.
func (p *Pool) checkRollout() error {
	if p.roll != nil && p.roll.Phase().Over() && !p.onHold {
		return fmt.Errorf("rollout: %s, but not forgotten", p.roll.Phase())
	}
	for i := range p.Instances() {
		switch {
		case i.fresh && p.roll == nil:
			return fmt.Errorf("instance %d (%s): fresh without a rollout", i.index, i.state)
		case i.fresh && p.roll.to.pinned() && p.roll.to.share(i.version) == 0:
			return fmt.Errorf("instance %d (%s): fresh, but runs version %q", i.index, i.state, i.version)
		case i.adopted && i.fresh:
			return fmt.Errorf("instance %d (%s): fresh, but nobody started it", i.index, i.state)
		}
	}
	return nil
}
