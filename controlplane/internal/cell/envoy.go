package cell

import "time"

// Times of Envoy.
const (
	probes    = 250 * time.Millisecond // of the control planes' health
	keepalive = time.Second            // after which a connection is given up on which nothing is heard
	hold      = 50 * time.Millisecond  // between two offers of a request
	held      = 10 * time.Second       // as long as it holds a request that nobody takes
)

// probe finds out which control planes are healthy, and leaves one that does not answer.
func (w *world) probe() {
	for _, p := range w.planes {
		p.healthy = p.takes() && !p.cut()
		if p.now.Before(p.paused) && p.now.Sub(p.since) >= keepalive || p.cut() && p.now.Sub(p.cutSince) >= keepalive {
			p.leave()
		}
	}
	w.after(probes, w.probe)
}

// leave takes back what waits at a desk that is not heard any more. It hears of that when it goes on.
func (d *desk) leave() {
	for _, r := range d.held() {
		delete(d.waiting, r)
		r.release(d.world)
		d.back(r)
	}
}

// cut tells whether the network is that joins the plane with Envoy and the relay, which are on one host.
func (p *plane) cut() bool { return p.now.Before(p.apart) }

// offer is Envoy's: it asks a control plane that was healthy, and while none was the caretaker.
func (w *world) offer(r *request) {
	led := false
	for _, p := range w.planes {
		if led = led || p.healthy; p.healthy && p.takes() && !p.cut() {
			p.acquire(r)
			return
		}
	}
	if !led && w.relay.serves() {
		w.relay.care.acquire(r)
		return
	}
	if w.now.Sub(r.arrived) < held {
		w.after(hold, func() { w.offer(r) })
		return
	}
	r.over = true
}

// serves tells whether the caretaker can be asked.
func (r *relay) serves() bool { return !r.dead && !r.leaves && !r.now.Before(r.paused) }
