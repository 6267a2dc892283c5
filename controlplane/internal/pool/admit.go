package pool

import (
	"slices"
	"time"
)

// Acquire asks for a slot. Afterwards r is Leased, Waiting or Rejected; a request that is leased at once is not in
// Effects.Dispatched. A request that already waits or holds a lease is left as it is.
func (p *Pool) Acquire(now time.Time, r *Request) *Effects {
	now = p.enter(now)
	if r.state == Waiting || r.state == Leased {
		return &p.effects
	}
	p.noteArrival(now)
	arrived := now
	if now.Before(p.held) && r.Began.Before(p.resumed) {
		arrived = p.began(r)
	}
	r.begin(arrived)
	if !now.Before(p.settlesAt()) { // before, requests come that were held while nobody decided, and are no rate
		p.counters.arrivals++
	}
	if cause := p.refusal(now); cause != "" {
		r.state, r.cause, r.after = Rejected, cause, p.retryAfter(now, cause)
		return &p.effects
	}
	if p.queue.n == 0 && p.leasable() {
		p.waited = 0
		p.lease(r)
		r.waited = now.Sub(r.arrived)
		p.scale(now)
		return &p.effects
	}
	r.state = Waiting
	p.line(r, p.due(now))
	p.guards.Breaker.Arrived(now, p.queue.n == 1)
	p.scale(now)
	return p.arrived(r)
}

// began is when a request first came, which is now if nobody knows. It has not waited for longer than it may, whatever Envoy's clock says.
func (p *Pool) began(r *Request) time.Time {
	began := r.Began
	if began.IsZero() || began.After(p.now) {
		return p.now
	}
	if limit := p.settings.QueueTimeout; limit > 0 {
		began = later(began, p.now.Add(-limit))
	}
	return began
}

// line puts r at its place in the queue. No waiter leaves before an earlier one.
func (p *Pool) line(r *Request, due time.Time) {
	r.due = due
	next := p.queue.join(r)
	if r.prev != nil {
		r.due = later(r.due, r.prev.due)
	}
	if next != nil {
		r.due = earlier(r.due, next.due)
	}
}

// arrived ends the arrival of a request. What scaling has decided about it meanwhile is no news: nobody was told that it waits.
func (p *Pool) arrived(r *Request) *Effects {
	same := func(other *Request) bool { return other == r }
	switch r.state {
	case Evicted:
		r.state = Rejected
		p.effects.Evicted = slices.DeleteFunc(p.effects.Evicted, same)
	case Leased:
		p.effects.Dispatched = slices.DeleteFunc(p.effects.Dispatched, same)
	}
	return &p.effects
}

// refusal is why a request that arrives now cannot even wait; empty if it can.
func (p *Pool) refusal(now time.Time) Cause {
	switch {
	case p.closed != "":
		return p.closed
	case p.leasable() && p.queue.n == 0:
		return ""
	case p.queue.n-p.returned >= p.settings.QueueLimit:
		return QueueFull
	case p.guards.Breaker.Open() && !p.mayServe():
		if room, _ := p.guards.Room(now, p.load()); room == 0 {
			return p.guards.Breaker.Cause()
		}
	}
	return ""
}

// latestRetry bounds Retry-After, because little is known about the time after it.
const latestRetry = time.Minute

// retryAfter is the time to Retry-After. For a cause of failed starts it is the time until the next start may be tried. For a full
// queue it is how long the requests that are served now have waited: by then the queue has moved on.
func (p *Pool) retryAfter(now time.Time, cause Cause) time.Duration {
	var after time.Duration
	switch cause {
	case QueueFull:
		after = p.waited
		if p.queue.n > 0 {
			after = max(after, now.Sub(p.queue.head.arrived))
		}
	case p.guards.Breaker.Cause():
		after = p.guards.Breaker.Block().Until.Sub(now)
	}
	return min(max(0, after), latestRetry)
}

// Serves tells whether an instance is ready.
func (p *Pool) Serves() bool { return p.count[Ready] > 0 }

// mayServe reports whether an instance serves waiters, or will when it is up or up again.
func (p *Pool) mayServe() bool { return p.count[Ready]+p.count[Starting]+p.returning() > 0 }

// Release ends a request: its slot goes to the oldest waiter in the same step, or it leaves the queue. It is harmless
// for a request that is neither waiting nor leased, and so harmless twice.
func (p *Pool) Release(now time.Time, r *Request) *Effects {
	now = p.enter(now)
	switch r.state {
	case Waiting:
		p.leaveQueue(now, r, Done, "")
	case Leased:
		p.unlease(r)
		p.serve(now)
	default:
		return &p.effects
	}
	p.scale(now)
	return &p.effects
}

// next is the index of the instance to lease from for a request: a fresh one if a rollout is under way, and a slow or worn one
// last.
func (p *Pool) next(r *Request) int {
	if p.fresh[Ready] > 0 {
		if index := p.openFresh.next(); index >= 0 {
			return index
		}
	}
	if index := p.nextBesideStreams(r); index >= 0 {
		return index
	}
	return p.openSlow.next()
}

// lease gives r a slot of an instance that has a free one.
func (p *Pool) lease(r *Request) {
	i, arm := p.assign(r)
	p.carries(i, r, 1)
	free := i.free()
	p.stopIdling(i)
	i.leases.push(r)
	p.relist(i, free)
	p.watchLeases(i)
	i.granted++
	i.tests.given(r)
	r.leased, r.arm = p.now, arm
	if p.limiter != nil {
		r.sample = p.limiter.Began(p.now, i.leases.n+i.foreign, i == p.single)
	}
	r.state, r.instance = Leased, i
	p.guards.Breaker.Served(i.epoch)
	p.inFlight++
	p.busy++
	p.leased = true
}

func (p *Pool) unlease(r *Request) {
	i := r.instance
	p.carries(i, r, -1)
	free := i.free()
	i.leases.remove(r)
	p.trial.ended(r)
	if r.refused {
		i.refused--
	}
	i.answered = p.now
	p.watchLeases(i)
	r.state = Done
	p.inFlight--
	if !r.refused {
		p.counters.departures++
		p.learnTail(i, p.now.Sub(r.leased))
	}
	p.endTest(r)
	if p.roll != nil && !r.refused {
		p.roll.Took(i.fresh, p.now.Sub(r.leased))
	}
	switch i.state {
	case Ready:
		p.busy--
		p.relist(i, free)
		if i.fresh && p.unproven() {
			p.setSlots(i)
		}
		p.startIdling(i)
		p.distrust(i)
		if !r.refused {
			p.pace(r, p.now.Sub(r.leased))
		}
	case Draining:
		p.finishIdle(i)
	case Gone:
		p.lost--
	}
	p.learn(r)
}

// leasable reports whether a slot may be leased now.
func (p *Pool) leasable() bool { return p.free > 0 && !p.onHold }

// serve hands free slots to the oldest waiters.
func (p *Pool) serve(now time.Time) {
	for p.leasable() && p.queue.n > 0 {
		r := p.queue.head
		p.leaveQueue(now, r, Waiting, "")
		p.waited = r.waited
		p.lease(r)
		p.effects.Dispatched = append(p.effects.Dispatched, r)
	}
}

func (p *Pool) leaveQueue(now time.Time, r *Request, to RequestState, cause Cause) {
	p.queue.remove(r)
	if r.returned {
		p.returned--
	}
	r.state, r.cause = to, cause
	r.waited = now.Sub(r.arrived)
}

func (p *Pool) evict(now time.Time, r *Request, cause Cause) {
	p.leaveQueue(now, r, Evicted, cause)
	r.after = p.retryAfter(now, cause)
	p.effects.Evicted = append(p.effects.Evicted, r)
}

func (p *Pool) evictAll(now time.Time, cause Cause) {
	for p.queue.n > 0 {
		p.evict(now, p.queue.head, cause)
	}
}
