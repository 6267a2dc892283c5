package simulate

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A Part is what fails in an outage.
type Part string

// Parts.
const (
	Envoy        Part = "envoy"         // connections are lost: what waits and what is in flight, and nobody gets in
	ControlPlane Part = "control plane" // nothing is decided: what comes waits at Envoy, what is in flight goes on
	Environments Part = "environments"  // all are gone, with what is in flight there
)

// An Outage is a time without a part. The zero value is no outage.
type Outage struct {
	Of  Part
	At  time.Duration
	For time.Duration // nothing for environments: they are gone at once
}

// heldUntil returns when the control plane notices what happens at that time.
func (o Outage) heldUntil(at time.Duration) time.Duration {
	if o.Of == ControlPlane && at >= o.At && at < o.At+o.For {
		return o.At + o.For
	}
	return at
}

func (w *world) planOutage() {
	o := w.settings.Outage
	if o.Of == Envoy || o.Of == Environments {
		w.events.push(event{at: o.At, kind: lost})
	}
	if o.Of == Envoy {
		w.events.push(event{at: o.At + o.For, kind: back})
	}
}

// outage carries out the beginning or the end of the outage.
func (w *world) outage(k kind) {
	switch {
	case k == back:
		w.away = false
		w.carryOut(w.pool.Reach(w.clock(), true))
		held := w.held
		w.held = nil
		for _, i := range held {
			w.up(i)
		}
	case w.settings.Outage.Of == Environments:
		w.lambda.Forget()
		for _, core := range slices.Collect(w.pool.Instances()) {
			w.end(core.Owner.(*instance), scaler.Crashed)
		}
	default:
		w.away = true
		w.carryOut(w.pool.Reach(w.clock(), false))
		w.cutAll()
	}
}

// cutAll ends all connections.
func (w *world) cutAll() {
	for _, r := range w.queued {
		if r.State() == pool.Waiting {
			w.carryOut(w.pool.Release(w.clock(), &r.Request))
			w.unserved(r, &w.meter.cut)
		}
	}
	w.queued = nil
	var leased []*request
	for i := range w.pool.Instances() {
		for r := range i.Leases() {
			leased = append(leased, r.Owner.(*request))
		}
	}
	for _, r := range leased {
		r.aborted = true
		w.again(r, &w.meter.cut)
		w.carryOut(w.pool.Release(w.clock(), &r.Request))
	}
}

// holdUp remembers an instance that came up while Envoy is away.
func (w *world) holdUp(i *instance) {
	if i.core.State() != pool.Starting {
		return
	}
	i.core.In(i.invocation.Environment.ID)
	if !i.invocation.Cold {
		i.core.Reused()
	}
	i.core.EndBy(epoch.Add(i.invocation.Deadline))
	w.held = append(w.held, i)
	w.carryOut(w.pool.Dialled(w.clock(), i.core))
}
