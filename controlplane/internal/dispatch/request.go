package dispatch

import (
	"context"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/culprit"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// acquire takes a slot or waits for one. The error is an *admission.Error, or errForgotten.
func (f *function) acquire(ctx context.Context, r admission.Request) (*Lease, error) {
	l := &Lease{f: f, id: r.ID, what: culprit.Request{Method: r.Method, Path: r.Path}}
	l.request.Owner, l.request.Stream, l.request.Began = l, r.Stream, r.Began
	state, err := f.enter(l, f.entryFor(r))
	switch {
	case err != nil:
		return nil, err
	case state == pool.Leased:
		return l, nil
	case state == pool.Waiting:
		return f.wait(ctx, l)
	}
	return nil, f.refusal(l)
}

// enter offers a new request to the pool. The error says why it does not even see it.
func (f *function) enter(l *Lease, by entry) (pool.RequestState, error) {
	var todo effects
	state, err := f.arrive(l, by, &todo)
	todo.carryOut(f)
	return state, err
}

// arrive is the part of enter that needs the lock. It releases the lock even after a panic, because extproc recovers from that.
func (f *function) arrive(l *Lease, by entry, todo *effects) (pool.RequestState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := now()
	if f.forgotten {
		return l.request.State(), errForgotten
	}
	if closed := f.settings().closed; closed != "" {
		return l.request.State(), admission.Reject(closed)
	}
	f.arrived = at
	f.wake(at, todo)
	l.request.Deadly = f.culprits.Kills(at, l.what)
	if !l.request.Began.IsZero() {
		l.request.Began = at.Add(-at.Sub(l.request.Began)) // with at's monotonic clock
	}
	e := by(f.pool, at, &l.request)
	state := l.request.State()
	switch state {
	case pool.Leased:
		f.grant(at, l)
	case pool.Waiting:
		l.woken = make(chan struct{})
	case pool.Rejected:
		f.turnedAway(at, l, admission.Rejected)
	}
	f.apply(at, e, todo)
	return state, nil
}

// wait blocks until the pool hands l a slot or gives up on it, or until the client leaves.
func (f *function) wait(ctx context.Context, l *Lease) (*Lease, error) {
	select {
	case <-l.woken:
	case <-ctx.Done():
		l.leave()
		left := admission.Evict(admission.Canceled)
		left.Waited = admission.Micros(now().Sub(l.request.Arrived()))
		return nil, left
	}
	if l.endpoint != "" {
		return l, nil
	}
	return nil, f.refusal(l)
}

func (f *function) refusal(l *Lease) error {
	if f.d.caretaker {
		return f.noLeader(l)
	}
	refused := admission.Reject(causeOf(&l.request))
	if l.woken != nil {
		refused.Outcome = admission.Evicted
	}
	refused.RetryAfter, refused.Waited = l.request.RetryAfter(), admission.Micros(l.request.Waited())
	return refused
}

// causeOf is why a request was not served, in the words for clients. They are not told which of Lambda's limits was hit.
func causeOf(r *pool.Request) admission.Cause {
	if r.Cause().IsThrottled() {
		return admission.Throttled
	}
	return admission.Cause(r.Cause())
}

// grant records that a request got its slot. The caller holds f.mu.
func (f *function) grant(at time.Time, l *Lease) {
	l.endpoint, l.granted = f.endpoints.path(l.request.Instance().Index()), at
	f.outcomes.dispatched(l.request.Waited())
	f.bill.Leased(at)
	l.on = l.request.Instance()
	if l.request.Waited() > 0 {
		l.wait = waitOf(&l.request)
		f.recent.waited(at, l)
	}
}

// turnedAway records that a request got no slot. The caller holds f.mu.
func (f *function) turnedAway(at time.Time, l *Lease, outcome admission.Outcome) {
	cause := causeOf(&l.request)
	f.outcomes.refused(outcome, cause)
	f.recent.failed(failure{
		what: operator.RequestFailed, cause: string(cause), at: at, request: requestID(l.id), queue: admission.Micros(l.request.Waited()),
	})
}

// waitOf is what a leased request waited for.
func waitOf(r *pool.Request) *admission.Wait {
	core := r.Instance()
	w := &admission.Wait{Instance: core.ID, Arrived: r.Arrived(), Queue: admission.Micros(r.Waited()), Start: admission.NoStart}
	if r.ForStart() {
		w.Start, w.Began, w.Up = admission.Warm, core.Started(), core.Up()
		if core.Cold() {
			w.Start = admission.Cold
		}
	}
	return w
}

// release ends a request, whether it holds a slot, waits for one, or has already ended.
func (f *function) release(p *pool.Pool, at time.Time, l *Lease) *pool.Effects {
	switch {
	case l.request.State() != pool.Leased:
	case l.refused:
		f.bill.Withdrawn(at, l.granted)
	default:
		f.bill.Released(at, l.granted)
		f.flew(at, l)
	}
	return p.Release(at, &l.request)
}

// A Lease is the right to use one slot for one request. It implements extproc.Lease.
type Lease struct {
	f        *function
	id       string          // of the request, as its client knows it
	what     culprit.Request // its method and path
	request  pool.Request    // guarded by f.mu
	refused  bool            // the instance refused it; guarded by f.mu
	woken    chan struct{}   // closed when a waiting request got a slot or was evicted; nil when it never waited
	endpoint string          // written before woken closes
	granted  time.Time       // when it got its slot; guarded by f.mu
	on       *pool.Instance  // whose slot it has; written before woken closes
	wait     *admission.Wait // written before woken closes; nil if it did not wait
}

// Wait is what the request waited for.
func (l *Lease) Wait() admission.Wait {
	if l.wait == nil {
		return admission.Wait{Instance: l.on.ID, Start: admission.NoStart}
	}
	return *l.wait
}

// Endpoint is the address that Envoy sends the request to.
func (l *Lease) Endpoint() string { return l.endpoint }

// Release gives the slot to the oldest waiter, or back to the instance. A second call does nothing.
func (l *Lease) Release() {
	l.f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return l.f.release(p, at, l) })
	l.f.d.dropIfEmpty(l.f)
}

// leave removes a request from the queue because its client has gone. If it has just got a slot, leave gives that back.
func (l *Lease) leave() {
	l.f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		if l.request.State() == pool.Waiting {
			l.f.outcomes.refused(admission.Evicted, admission.Canceled)
		}
		return l.f.release(p, at, l)
	})
}
