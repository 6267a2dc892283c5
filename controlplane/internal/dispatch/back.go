package dispatch

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// An entrance brings a request before the pool.
type entrance func(*pool.Pool, time.Time, *pool.Request) *pool.Effects

// entranceOf is the way in for a request: to the end of the queue, or to the place that it had before an instance refused it.
func (f *function) entranceOf(r admission.Request) entrance {
	if r.RefusedBy == "" && r.Arrived.IsZero() {
		return (*pool.Pool).Acquire
	}
	refuser := f.d.instance(r.RefusedBy)
	return func(p *pool.Pool, at time.Time, request *pool.Request) *pool.Effects {
		return p.Return(at, request, f.refused(at, r, refuser))
	}
}

// refused is what is known of a request that has come back. The caller holds f.mu.
func (f *function) refused(at time.Time, r admission.Request, by *instance) pool.Refusal {
	var back pool.Refusal
	if !r.Arrived.IsZero() {
		back.Arrived = at.Add(-at.Sub(r.Arrived)) // on the clock that nobody sets
	}
	if by == nil || by.function != f || by.ended {
		return back
	}
	back.By = by.core
	if l := leaseOf(by.core, r.ID); l != nil {
		back.Lease = &l.request
		l.refused = true
	}
	return back
}

// leaseOf finds the latest lease of a request on an instance; nil if it has been released. Envoy ends the first stream of
// a refused request before it opens the second, and either may be heard first.
func leaseOf(core *pool.Instance, id string) (latest *Lease) {
	if id == "" {
		return nil // Envoy names every request
	}
	for r := range core.Leases() {
		if l := r.Owner.(*Lease); l.id == id {
			latest = l
		}
	}
	return latest
}
