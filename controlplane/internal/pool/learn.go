package pool

import "time"

// Slots of an instance are given, or learned: then there are as many as the app has been seen to serve well at once, and
// the peer's offer is the most. What one request at a time takes is the measure; where the limiter asks for it, one instance serves
// so for a while.

// concurrency is how many slots an instance has that offers as many as it is asked for.
func (p *Pool) concurrency() int {
	if p.limiter == nil {
		return p.settings.Concurrency
	}
	return p.limiter.Limit()
}

// slotsOf is how many slots an instance has by now.
func (p *Pool) slotsOf(i *Instance) int {
	if i == p.single {
		return 1
	}
	n := min(i.offered, p.concurrency())
	if i.most > 0 {
		n = min(n, i.most)
	}
	return n
}

// learn takes in how long a request took, and gives all instances more slots, or fewer, if that tells so. Leases beyond
// them stay.
func (p *Pool) learn(r *Request) {
	i := r.instance
	switch {
	case p.limiter == nil:
		return
	case r.refused || i.state != Ready && i.state != Draining:
		p.limiter.Void(r.sample)
	case p.limiter.Ended(p.now, r.sample, p.now.Sub(r.leased)):
		p.single = nil
		p.resizeReady()
	}
	p.measure()
}

func (p *Pool) resizeReady() {
	for i := range p.Instances() {
		if i.state == Ready {
			p.setSlots(i)
		}
	}
}

// measure lets an instance serve one request at a time while the limiter asks for that: the one with the fewest leases, and only
// where the others can do its work, or another may be started.
func (p *Pool) measure() {
	if i := p.single; i != nil && !p.maySingle(i) {
		p.single = nil
		if i.state == Ready {
			p.setSlots(i)
		}
	}
	if p.single != nil || !p.limiter.Asks() || p.count[Ready] < enoughBeside && p.live >= p.settings.Scaling.Most() {
		return
	}
	for i := range p.Instances() {
		if p.maySingle(i) && (p.single == nil || i.leases.n < p.single.leases.n) {
			p.single = i
		}
	}
	if p.single != nil {
		p.setSlots(p.single)
	}
}

// tooLong is how long a request may take on an instance that is a measure: a stream would keep others from it.
const tooLong = time.Minute

func (p *Pool) maySingle(i *Instance) bool {
	oldest := i.leases.head
	return i.state == Ready && !i.rotating && !i.slow && (oldest == nil || p.now.Sub(oldest.leased) < tooLong)
}

// singleIdles is how long an instance that is a measure is kept without a lease: its next one is on its way, if there is load.
const singleIdles = 200 * time.Millisecond

// enoughBeside is how many instances make one that serves little negligible.
const enoughBeside = 4

// setSlots brings up to date how many slots a ready instance has.
func (p *Pool) setSlots(i *Instance) {
	free := i.free()
	p.capacity -= i.slots
	i.slots = p.slotsOf(i)
	p.capacity += i.slots
	p.relist(i, free)
}

// relist follows a change of an instance's free slots, of which it had so many before.
func (p *Pool) relist(i *Instance, had int) {
	p.index(i).remove(i.index, had)
	p.index(i).add(i.index, i.free())
	p.free += i.free() - had
}
