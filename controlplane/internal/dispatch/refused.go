package dispatch

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// An entry offers a request to the pool.
type entry func(*pool.Pool, time.Time, *pool.Request) *pool.Effects

// entryFor is Acquire for a new request, and Return for one that an instance refused: it gets its old place in the queue.
func (f *function) entryFor(r admission.Request) entry {
	if !r.Returned {
		return (*pool.Pool).Acquire
	}
	refuser := f.d.instance(r.RefusedBy)
	return func(p *pool.Pool, at time.Time, request *pool.Request) *pool.Effects {
		return p.Return(at, request, f.refused(r, refuser))
	}
}

// refused is what is known of a request that an instance refused. The caller holds f.mu.
func (f *function) refused(r admission.Request, by *instance) pool.Refusal {
	var back pool.Refusal
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
// a refused request before it opens the second, but we may see the second first.
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
