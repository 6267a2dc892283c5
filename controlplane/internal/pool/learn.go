package pool

// Slots of an instance are given, or learned: then there are as many as the app has been seen to serve well at once, and
// the peer's offer is the most.

// concurrency is how many slots an instance has that offers as many as it is asked for.
func (p *Pool) concurrency() int {
	if p.limiter == nil {
		return p.settings.Concurrency
	}
	return p.limiter.Limit()
}

// learn takes in how long a request took, and gives all instances more slots, or fewer, if that tells so. Leases beyond
// them stay.
func (p *Pool) learn(r *Request) {
	if p.limiter == nil || r.sample == 0 || r.refused || !p.limiter.Ended(r.sample, p.now.Sub(r.leased)) {
		return
	}
	for i := range p.Instances() {
		if i.state != Ready {
			continue
		}
		free := i.free()
		p.capacity -= i.slots
		i.slots = min(i.offered, p.concurrency())
		p.capacity += i.slots
		p.relist(i, free)
	}
}

// relist follows a change of an instance's free slots, of which it had so many before.
func (p *Pool) relist(i *Instance, had int) {
	p.index(i).remove(i.index, had)
	p.index(i).add(i.index, i.free())
	p.free += i.free() - had
}
