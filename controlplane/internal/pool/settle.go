package pool

import "time"

// After a takeover all requests come at once that were held meanwhile, and requests of the former pool still take slots. Neither
// says anything about how many instances are needed.

// settleTime is how long that lasts after the takeover, and after the first request that follows it. Envoy asks again after pauses
// of up to half a second, its first try may fail, and it may notice only later who leads. Meanwhile arrivals count for no rate,
// and idle instances are kept.
const settleTime = 1500 * time.Millisecond

// noteArrival records that a request has come. The first one after a takeover shows that Envoy has found this pool.
func (p *Pool) noteArrival(now time.Time) {
	p.asked = true
	if p.unasked {
		p.unasked, p.held = false, now.Add(settleTime)
	}
}

// settlesAt is until when requests that were held, and clients on slots of another process, come back; it may be past.
func (p *Pool) settlesAt() time.Time {
	if p.shares {
		return p.held
	}
	return time.Time{}
}

// Interrupted says that the stream of an Envoy has begun or ended, and with it, as a rule, what that Envoy had asked for: it will soon be
// asked for again. Until then idle instances are kept, once for what has been asked since the last time.
func (p *Pool) Interrupted(now time.Time) *Effects {
	now = p.enter(now)
	if p.asked {
		p.asked, p.kept = false, now.Add(settleTime)
	}
	p.scale(now)
	return &p.effects
}

// freeKnownAfter is how long a slot that another process has leased may be free before the pool hears of it.
const freeKnownAfter = reportEvery + maxDelay

// comingBack is how many waiters may be clients whose former request has just ended on a slot that another process had leased. They
// get that slot as soon as it is reported free.
func (p *Pool) comingBack(now time.Time) (n int) {
	if p.queue.n == 0 || !now.Before(p.settlesAt()) {
		return 0
	}
	legacy := 0
	for i := range p.Instances() {
		if i.state == Ready {
			legacy += i.legacy
		}
	}
	for r := p.queue.tail; r != nil && n < legacy && now.Sub(r.arrived) < freeKnownAfter; r = r.prev {
		n++
	}
	return n
}

// countsMoreAt is when more waiters may count without an event; it may be past.
func (p *Pool) countsMoreAt(now time.Time) time.Time {
	if p.queue.n == 0 || !now.Before(p.settlesAt()) {
		return p.settlesAt()
	}
	for r := p.queue.head; r != nil; r = r.next {
		if at := r.arrived.Add(freeKnownAfter); at.After(now) {
			return earlier(at, p.settlesAt())
		}
	}
	return p.settlesAt()
}
