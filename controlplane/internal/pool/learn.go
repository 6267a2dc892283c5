package pool

import "time"

// The slots of an instance are configured or learned. Learned ones are as many as the app has been seen to serve well at once, and
// at most as many as the peer offers. The yardstick is how long a request takes that is alone. Where the limiter asks for that, one
// instance serves one request at a time for a while.

// concurrency is how many slots an instance has whose peer offers enough.
func (p *Pool) concurrency() int {
	if p.limiter == nil {
		return p.settings.Concurrency
	}
	return p.limiter.Limit()
}

// slotsOf is how many slots an instance should have now.
func (p *Pool) slotsOf(i *Instance) int {
	if i == p.single {
		return 1
	}
	n := min(i.offered, p.concurrency())
	if i.most > 0 {
		n = min(n, i.most)
	}
	if i.fresh && p.unproven() {
		n = min(n, p.testsOf(i))
	}
	return n
}

// learn tells the limiter how long a request took, and changes the slots of all instances if the limit has changed. Leases beyond
// the slots stay.
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

// measure makes the instance with the fewest leases serve one request at a time while the limiter asks for that. It does so only
// if the others can take over its work, or another instance may be started.
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

// tooLong is how long a request may take on an instance that serves one at a time, because a stream would block it.
const tooLong = time.Minute

func (p *Pool) maySingle(i *Instance) bool {
	oldest := i.leases.head
	return i.state == Ready && !i.rotating && !i.slow && (oldest == nil || p.now.Sub(oldest.leased) < tooLong)
}

// singleIdles is how long an instance that serves one at a time is kept without a lease. Under load its next one comes soon.
const singleIdles = 200 * time.Millisecond

// enoughBeside is how many ready instances there must be so that one that serves little hardly matters.
const enoughBeside = 4

// setSlots updates how many slots a ready instance has.
func (p *Pool) setSlots(i *Instance) {
	free := i.free()
	p.capacity -= i.slots
	i.slots = p.slotsOf(i)
	p.capacity += i.slots
	p.relist(i, free)
}

// relist updates the lists after an instance's free slots have changed from had.
func (p *Pool) relist(i *Instance, had int) {
	p.index(i).remove(i.index, had)
	p.index(i).add(i.index, i.free())
	p.free += i.free() - had
}
