package dispatch

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A Lease is the right to use one slot for one request. It implements extproc.Lease.
type Lease struct {
	f        *function
	id       string        // of the request, as its client knows it
	request  pool.Request  // guarded by f.mu
	refused  bool          // by the instance; guarded by f.mu
	woken    chan struct{} // closed when a waiting request got a slot or was evicted; nil when it never waited
	endpoint string        // written before woken closes
	granted  time.Time     // when it got its slot; guarded by f.mu
}

// Endpoint is the address that Envoy sends the request to.
func (l *Lease) Endpoint() string { return l.endpoint }

// Release gives the slot to the oldest waiter, or back to the instance. A second call does nothing.
func (l *Lease) Release() {
	l.f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return l.f.release(p, at, l) })
}

// leave takes a request whose client has gone out of the queue, or gives back the slot that it got in that moment.
func (l *Lease) leave() {
	l.f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		if l.request.State() == pool.Waiting {
			l.f.outcomes.refused(admission.Evicted, admission.Canceled)
		}
		return l.f.release(p, at, l)
	})
}
