package pool

import "time"

// A Refusal is what is known of a request that came back: an instance had no slot for it, and the app has not seen it.
type Refusal struct {
	Arrived time.Time // at first; zero: not known
	By      *Instance // nil: not known
	Lease   *Request  // what it held there, if that has not been released yet
}

// Return is Acquire for a request that an instance has refused. It takes the place in the queue that it would have if it had
// waited since it arrived, and waits no longer than from then on. The queue's limit does not count it: it was let in
// before. The instance is known to be full.
func (p *Pool) Return(now time.Time, r *Request, back Refusal) *Effects {
	now = p.enter(now)
	if r.state == Waiting || r.state == Leased {
		return &p.effects
	}
	*r = Request{Owner: r.Owner, arrived: now, patience: p.settings.QueueTimeout, returned: true}
	if !back.Arrived.IsZero() && back.Arrived.Before(now) {
		r.arrived = back.Arrived
	}
	p.counters.returned++
	p.asked(now)
	p.noteRefusal(now, back)
	if p.returned == 0 {
		p.distrustAll(now)
	}
	switch {
	case p.closed != "":
		r.state, r.cause = Rejected, p.closed
		return &p.effects
	case p.queue.n == 0 && p.leasable():
		p.lease(r)
		r.waited = now.Sub(r.arrived)
	case p.settings.QueueLimit <= 0:
		r.state, r.cause = Rejected, Overload
		return &p.effects
	default:
		p.rejoin(now, r)
	}
	p.scale(now)
	return &p.effects
}

// rejoin puts r before all who came later.
func (p *Pool) rejoin(now time.Time, r *Request) {
	r.state = Waiting
	before := p.queue.head
	for before != nil && !before.arrived.After(r.arrived) {
		before = before.next
	}
	if before != nil {
		r.patience = before.patience // no waiter leaves after one that came later
	}
	p.queue.insert(r, before)
	p.returned++
	p.guards.Breaker.Arrived(now, p.queue.n == 1)
}

// noteRefusal takes the refusal for what it tells of the instance: all its slots are taken.
func (p *Pool) noteRefusal(now time.Time, back Refusal) {
	i := back.By
	if r := back.Lease; r != nil && r.state == Leased && r.instance == i && !r.refused {
		r.refused = true
		i.refused++
	} else {
		p.counters.arrivals++ // its lease has ended and counted as a departure
	}
	if i == nil || !i.watched() {
		return
	}
	i.watch.Refused(now, i.offered, i.leases.n-i.refused)
	p.recount(now, i)
}

// A request that is refused a second time fails. So while one that came back waits, a slot whose lease has ended is free
// only when a report says so: crowds leave together, and an app that works on for one client does so for others.

// distrustAll begins that.
func (p *Pool) distrustAll(now time.Time) {
	for i := range p.Instances() {
		p.suspect(now, i)
	}
}

// distrust follows the end of a lease.
func (p *Pool) distrust(i *Instance) {
	if p.returned > 0 {
		p.suspect(p.now, i)
	}
}

func (p *Pool) suspect(now time.Time, i *Instance) {
	if i.state == Ready && i.watch.Suspect(now) {
		p.recount(now, i)
	}
}
