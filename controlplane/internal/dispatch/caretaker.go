package dispatch

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A caretaker decides about requests while nobody leads. It sees the same instances as who leads, through the same reports; it
// starts none and ends none. What others have leased is foreign to it.

// leaderWithin is how long a request is held for a control plane that leads: the lease of one that hangs runs out in five seconds, and
// then another one has to see it, to take over, and to be noticed.
const leaderWithin = 8 * time.Second

// elsewhere is why a request leaves a caretaker's queue when somebody leads.
const elsewhere pool.Cause = "elsewhere"

// careful are a caretaker's settings.
func (p plan) careful() pool.Settings {
	s := p.settings
	s.Learn, s.Linger = false, 0
	s.Scaling.Min, s.Scaling.StartsInProgress, s.Scaling.Environments = 0, 0, 0
	if s.QueueTimeout == 0 || s.QueueTimeout > leaderWithin {
		s.QueueTimeout = leaderWithin
	}
	return s
}

// uncared is why a request was not served while nobody leads.
func (f *function) uncared(l *Lease) error {
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
	refused.RetryAfter, refused.Waited = leaderWithin, admission.Micros(l.request.Waited())
	return refused
}

// GiveBack lets whoever leads decide about the requests that wait.
func (d *Dispatcher) GiveBack() {
	for _, f := range d.list() {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Dismiss(at, elsewhere) })
	}
}
