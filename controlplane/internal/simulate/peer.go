package simulate

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// Peers models the way between control plane and instance, and slots that outlast their lease. With the zero value a slot ends with its
// lease. It is for apps that only wait (App.CPU 0).
type Peers struct {
	Way      time.Duration // one way between the control plane and an instance; 0: none of this is modelled
	Unwind   time.Duration // from the end of an answer until its slot is free
	Leave    float64       // share of the clients that leave Patience after they got their slot; the app works on
	Patience time.Duration // see Leave
	Deaf     bool          // nobody listens to reports
}

// What lambdapeer does.
const (
	reportEvery = 100 * time.Millisecond
	gateWait    = 25 * time.Millisecond
)

// A peer holds an instance's slots and reports how many are taken.
type peer struct {
	working  int
	gate     []*request // wait for a slot
	telling  bool       // a report is due
	toldAt   time.Duration
	told     int
	finishes bool // as soon as nothing works
}

// depart sends a request that got its slot on its way there.
func (w *world) depart(r *request) {
	p := w.settings.Peers
	w.follow(event{at: w.now + p.Way, kind: reached, request: r})
	if p.Leave > 0 && r.work.Service > p.Patience && w.rand.Float64() < p.Leave {
		w.follow(event{at: w.now + p.Patience, kind: left, request: r})
	}
}

// follow pushes an event of a request. The request is kept until all of its events have happened.
func (w *world) follow(e event) {
	e.request.pending++
	w.events.push(e)
}

// happenAt carries out an event of a request at its instance's peer.
func (w *world) happenAt(e event) {
	r := e.request
	r.pending--
	if !r.aborted && !r.on.ended {
		switch e.kind {
		case reached:
			w.reached(r)
		case left:
			w.left(r)
		case waited:
			w.waited(r)
		case handled:
			w.handled(r.on)
		case answered:
			w.answered(r)
		}
	}
	if r.pending == 0 && r.State() != pool.Leased {
		w.recycle(r)
	}
}

func (w *world) reached(r *request) {
	i := r.on
	switch {
	case r.State() != pool.Leased: // the client has left on the way
	case i.peer.working < w.settings.Pool.Concurrency:
		w.take(r)
	default:
		i.peer.gate = append(i.peer.gate, r)
		w.follow(event{at: w.now + gateWait, kind: waited, request: r})
	}
}

// take gives a request its slot.
func (w *world) take(r *request) {
	r.on.peer.working++
	w.changed(r.on)
	p := w.settings.Peers
	w.follow(event{at: w.now + r.takes() + p.Unwind, kind: handled, request: r})
	w.follow(event{at: w.now + r.takes() + p.Way, kind: answered, request: r})
}

// handled carries out the return of a handler.
func (w *world) handled(i *instance) {
	i.peer.working--
	w.changed(i)
	if len(i.peer.gate) > 0 {
		next := i.peer.gate[0]
		i.peer.gate = slices.Delete(i.peer.gate, 0, 1)
		w.take(next)
	}
	if i.peer.finishes && i.peer.working == 0 {
		w.finish(i)
	}
}

func (w *world) answered(r *request) {
	if r.State() != pool.Leased {
		return // nobody is there
	}
	w.meter.answered(r.work, r.began, w.real)
	w.carryOut(w.pool.Release(w.clock(), &r.Request))
}

func (w *world) left(r *request) {
	if r.State() != pool.Leased {
		return
	}
	r.on.leaveGate(r)
	w.meter.left++
	w.carryOut(w.pool.Release(w.clock(), &r.Request))
}

func (i *instance) leaveGate(r *request) bool {
	k := slices.Index(i.peer.gate, r)
	if k < 0 {
		return false
	}
	i.peer.gate = slices.Delete(i.peer.gate, k, k+1)
	return true
}

// waited refuses a request that got no slot in time. It is sent back once.
func (w *world) waited(r *request) {
	if !r.on.leaveGate(r) {
		return
	}
	w.changed(r.on)
	if r.again {
		w.again(r, &w.meter.overloaded)
		w.carryOut(w.pool.Release(w.clock(), &r.Request))
		return
	}
	w.comeBack(r)
}

func (w *world) comeBack(old *request) {
	r := w.fresh()
	r.work, r.again, r.tries = old.work, true, old.tries
	r.Began = epoch.Add(r.work.At)
	back := pool.Refusal{By: old.on.core, Lease: &old.Request}
	w.admitted(r, w.pool.Return(w.clock(), &r.Request, back))
	w.carryOut(w.pool.Release(w.clock(), &old.Request))
}

// changed has the peer report its count: at once, or when the least time since its last report is over.
func (w *world) changed(i *instance) {
	if i.peer.telling {
		return
	}
	i.peer.telling = true
	w.events.push(event{at: max(w.now, i.peer.toldAt+reportEvery), kind: sampled, instance: i})
}

func (w *world) sampled(i *instance) {
	i.peer.telling, i.peer.toldAt = false, w.now
	n := i.peer.working
	if i.ended || n == 0 && i.peer.told == 0 {
		return
	}
	i.peer.told = n
	w.events.push(event{at: w.now + w.settings.Peers.Way, kind: told, instance: i, version: n})
}

func (w *world) heard(e event) {
	if !w.settings.Peers.Deaf && !e.instance.ended {
		w.carryOut(w.pool.Report(w.clock(), e.instance.core, e.version, pool.DefaultDelay))
	}
}

// cutAt fails what is in flight on an instance that has ended.
func (w *world) cutAt(i *instance) {
	for _, e := range slices.Clone(w.events.heap) {
		r := e.request
		if r == nil || r.on != i || r.aborted {
			continue
		}
		r.aborted = true
		if r.State() == pool.Leased {
			w.again(r, &w.meter.failed)
			w.carryOut(w.pool.Release(w.clock(), &r.Request))
		}
	}
}
