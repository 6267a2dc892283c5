package simulate

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// Clients says what clients do that are not served. With the zero value they wait for as long as it takes, and try once.
type Clients struct {
	Leave    float64       // share that leaves Patience after each try, waiting or served
	Patience time.Duration // see Leave. An app without Peers stops working for a client that has left
	Retries  int           // after a refusal, a lost connection or an instance that died
	Pause    time.Duration // before the first retry; each doubles it, and half of it is random. 0: DefaultPause
}

// DefaultPause is what clients usually wait before they try again.
const DefaultPause = 100 * time.Millisecond

// expectPatience schedules the end of a client's patience with a try.
func (w *world) expectPatience(r *request) {
	c := w.settings.Clients
	if c.Leave > 0 && (r.State() == pool.Waiting || r.State() == pool.Leased) && w.rand.Float64() < c.Leave {
		w.events.push(event{at: w.now + c.Patience, kind: gaveUp, request: r, version: r.life})
	}
}

// gaveUp lets the client leave. The app works on if Peers are modelled.
func (w *world) gaveUp(e event) {
	r := e.request
	switch {
	case r.life != e.version || r.aborted:
	case r.State() == pool.Waiting:
		w.meter.left++
		w.carryOut(w.pool.Release(w.clock(), &r.Request))
		w.recycle(r)
	case r.State() == pool.Leased && w.settings.Peers.Way > 0:
		w.left(r)
	case r.State() == pool.Leased:
		r.aborted = true
		w.meter.left++
		w.carryOut(w.pool.Release(w.clock(), &r.Request))
	}
}

// unserved ends a try that was not served.
func (w *world) unserved(r *request, count *int) {
	w.again(r, count)
	w.recycle(r)
}

// again lets the client try again, or counts the request as lost.
func (w *world) again(r *request, count *int) {
	c := w.settings.Clients
	if r.tries >= c.Retries {
		*count++
		return
	}
	next := w.fresh()
	next.work, next.tries = r.work, r.tries+1
	pause := c.Pause
	if pause == 0 {
		pause = DefaultPause
	}
	pause <<= min(r.tries, 6)
	pause = pause/2 + time.Duration(w.rand.Int64N(int64(pause)/2+1))
	w.events.push(event{at: w.now + pause, kind: retried, request: next})
}

// wait remembers who waits if an outage of Envoy is to come, because that ends each wait.
func (w *world) wait(r *request) {
	if o := w.settings.Outage; o.Of != Envoy || w.now >= o.At {
		return
	}
	if len(w.queued) > 1000 && len(w.queued) > 2*w.pool.Stats().Waiting {
		w.queued = slices.DeleteFunc(w.queued, func(r *request) bool { return r.State() != pool.Waiting })
	}
	w.queued = append(w.queued, r)
}
