package cell

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// Times of requests.
const (
	again = 20 * time.Millisecond // before one that was not served is offered again
	slots = 4                     // of an instance
	// sampled bounds how long what a peer counts waits to be said, and then is on its way.
	sampled = 2 * time.Millisecond
)

// A request is a client's. Envoy offers it to whoever leads until one takes it, and it is served once.
type request struct {
	lease   *pool.Request // of the desk that has it; nil: Envoy has it
	owner   *desk
	life    int
	opened  int
	arrived time.Time
	served  bool
	over    bool // nobody serves it
}

// clients come and go, at a rate that changes.
func (w *world) clients() {
	if w.chance(2) {
		w.rate = w.between(8*time.Millisecond, time.Second)
	}
	r := &request{arrived: w.now}
	w.open = append(w.open, r)
	w.offer(r)
	w.after(w.between(w.rate/2, 2*w.rate), w.clients)
}

// takes tells whether Envoy's streams go to the plane.
func (p *plane) takes() bool {
	if p.dead || p.now.Before(p.paused) || p.term == 0 {
		return false
	}
	p.follow()
	return p.term != 0 && p.decides
}

// serve is what becomes of a request at its instance.
func (w *world) serve(r *request, id string) {
	i := w.instances[id]
	if i == nil || i.ended || !i.connected || i.inFlight >= slots {
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

// release gives a lease back, if whoever gave it is still there.
func (r *request) release(w *world) {
	d, lease, opened := r.owner, r.lease, r.opened
	r.lease = nil
	there := func() bool { return d.pool != nil && d.opened == opened }
	if lease == nil || d.dead || d.life != r.life || !there() {
		return
	}
	d.when(w.now, r.life, func() {
		if there() {
			d.do(d.pool.Release(d.now, lease))
		}
	})
}

// beside is how long a request may wait while a slot is free and nothing goes wrong any more: a stream that has fallen silent is given up
// within two and a half seconds, and the next one has to tell what there is.
const beside = 4 * time.Second

// watch finds requests that wait beside a free slot for too long, whoever decides.
func (w *world) watch() {
	for len(w.open) > 0 && (w.open[0].served || w.open[0].over) {
		w.open = w.open[1:]
	}
	if !w.free() {
		w.busy = w.now
	}
	if len(w.open) > 0 && w.now.Sub(later(w.open[0].arrived, w.busy)) > beside {
		w.broken("the request of %s waits, and a slot has been free since %s", w.open[0].arrived.Sub(start), w.busy.Sub(start))
	}
	w.after(looksEvery, w.watch)
}

// free tells whether a slot is free that Envoy could reach.
func (w *world) free() bool {
	if !w.relay.serves() {
		return false
	}
	for _, i := range w.running {
		if i.connected && !i.leaving && i.inFlight < slots {
			return true
		}
	}
	return false
}
