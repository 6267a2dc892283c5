package cell

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// Times of requests.
const (
	hold  = 50 * time.Millisecond // between two offers of Envoy to the control planes
	held  = 10 * time.Second      // as long as Envoy holds a request that no control plane takes
	again = 20 * time.Millisecond // before one that was not served is offered again
	slots = 4                     // of an instance
	// sampled bounds how old what a peer counts may be when its relay hears it.
	sampled = 2 * time.Millisecond
)

// A request is a client's. Envoy offers it to whoever leads until one takes it, and it is served once.
type request struct {
	lease   *pool.Request // of the plane that has it; nil: Envoy has it
	owner   *plane
	life    int
	term    uint64
	arrived time.Time
	served  bool
}

// clients come and go, at a rate that changes.
func (w *world) clients() {
	if w.chance(2) {
		w.rate = w.between(8*time.Millisecond, time.Second)
	}
	w.offer(&request{arrived: w.now})
	w.after(w.between(w.rate/2, 2*w.rate), w.clients)
}

// offer is Envoy's: it asks whoever leads.
func (w *world) offer(r *request) {
	for _, p := range w.planes {
		if p.takes() {
			p.acquire(r)
			return
		}
	}
	if w.now.Sub(r.arrived) < held {
		w.after(hold, func() { w.offer(r) })
		return
	}
	w.unserved++
}

// takes tells whether Envoy's streams go to the plane.
func (p *plane) takes() bool {
	if p.dead || p.now.Before(p.paused) || p.term == 0 {
		return false
	}
	p.follow()
	return p.term != 0 && p.decides
}

func (p *plane) acquire(r *request) {
	lease := &pool.Request{Owner: r}
	r.owner, r.life, r.term, r.lease = p, p.life, p.term, lease
	p.do(p.pool.Acquire(p.now, lease)) // which may give it up at once
	switch lease.State() {
	case pool.Leased:
		p.dispatch(r)
	case pool.Waiting:
		p.waiting[r] = true
	case pool.Rejected:
		p.lose(r)
	}
}

// lose follows a request that the pool does not serve.
func (p *plane) lose(r *request) {
	r.lease = nil
	p.unserved++
}

// dispatch sends a request to its instance.
func (p *plane) dispatch(r *request) {
	if !p.candidate.Standing(p.now).Leads {
		p.broken("a plane leases that does not lead any more")
	}
	id := r.lease.Instance().ID
	p.after(p.between(200*time.Microsecond, 3*time.Millisecond), func() { p.serve(r, id) })
}

// serve is what becomes of a request at its instance.
func (w *world) serve(r *request, id string) {
	i := w.instances[id]
	if i == nil || i.ended || !i.connected || i.inFlight >= slots {
		if i != nil && i.connected && !i.ended {
			w.refused++
		}
		r.release(w)
		w.after(again, func() { w.offer(r) })
		return
	}
	if r.served {
		w.broken("a request is served twice")
	}
	r.served = true
	i.count(1)
	w.after(w.between(5*time.Millisecond, 800*time.Millisecond), func() {
		if !i.ended {
			i.count(-1)
		}
		r.release(w)
	})
}

// release gives a lease back, if whoever gave it still leads.
func (r *request) release(w *world) {
	p, lease := r.owner, r.lease
	r.lease = nil
	if lease == nil || p.dead || p.life != r.life || p.term != r.term {
		return
	}
	p.when(w.now, r.life, func() {
		if p.term == r.term {
			p.do(p.pool.Release(p.now, lease))
		}
	})
}
