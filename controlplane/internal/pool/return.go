package pool

import "time"

// A Refusal is what is known of a request that came back because an instance had no slot for it. The app has not seen it.
type Refusal struct {
	By    *Instance // who refused it; nil: not known
	Lease *Request  // its lease there; nil if that has been released
}

// Return is Acquire for a request that an instance has refused. Its place in the queue and its timeout are as if it had waited
// since it first arrived. The queue's limit does not count it, because it was admitted before. The instance is full.
func (p *Pool) Return(now time.Time, r *Request, back Refusal) *Effects {
	now = p.enter(now)
	if r.state == Waiting || r.state == Leased {
		return &p.effects
	}
	r.begin(p.began(r))
	r.returned = true
	p.counters.returned++
	p.noteArrival(now)
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
	return p.arrived(r)
}

// rejoin puts r into the queue before all requests that arrived later.
func (p *Pool) rejoin(now time.Time, r *Request) {
	r.state = Waiting
	p.line(r, p.due(r.arrived))
	p.returned++
	p.guards.Breaker.Arrived(now, p.queue.n == 1)
}

// noteRefusal records that all slots of the instance are taken.
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

// A request that is refused a second time fails. So while a refused request waits, a slot whose lease has ended is free only when a
// report says so: clients often leave together, and an app that works on for one of them works on for the others too.

// distrustAll applies that to all instances, when the first refused request comes.
func (p *Pool) distrustAll(now time.Time) {
	for i := range p.Instances() {
		p.suspect(now, i)
	}
}

// distrust applies it to an instance of which a lease has ended.
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
