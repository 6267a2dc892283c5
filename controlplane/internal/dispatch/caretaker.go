package dispatch

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A caretaker decides about requests while nobody leads. It sees the same instances as a leader, through the same reports. It
// starts and ends none. Slots that a leader has leased are foreign to it.

// leaderSoon is when a client that was refused should try again: when most leaders have been replaced.
const leaderSoon = 5 * time.Second

// elsewhere is the cause of a request that leaves a caretaker's queue because there is a leader.
const elsewhere pool.Cause = "elsewhere"

// noLeader is the error of a request that a caretaker did not serve.
func (f *function) noLeader(l *Lease) error {
	cause := causeOf(&l.request)
	refused := admission.Reject(admission.NoLeader)
	switch {
	case cause == admission.Cause(elsewhere):
		return admission.ErrElsewhere
	case cause == admission.QueueFull:
		refused.Cause = cause
	case l.woken != nil:
		refused.Outcome = admission.Evicted
	}
	refused.RetryAfter, refused.Waited = leaderSoon, admission.Micros(l.request.Waited())
	return refused
}

// GiveBack makes the requests that wait in a caretaker leave its queue, so that Envoy asks the leader about them.
func (d *Dispatcher) GiveBack() {
	for _, f := range d.list() {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Dismiss(at, elsewhere) })
	}
}

// Serves tells whether an instance is ready.
func (d *Dispatcher) Serves() bool {
	return slices.ContainsFunc(d.list(), (*function).canServe)
}

func (f *function) canServe() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pool.Serves()
}
