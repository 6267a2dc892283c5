package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A function is one pool with its lock, its timer and the effects of its decisions.
type function struct {
	// Static after newFunction.
	d        *Dispatcher
	name     string
	config   config.Function
	provider Provider
	token    func() string // that peers register with; nil: none can
	plan     plan
	log      logrus.FieldLogger

	// mu guards the fields below. It is never held while calling a relay, a provider or Envoy.
	mu        sync.Mutex
	pool      *pool.Pool
	registers bucket.Bucket // how often peers that nobody invoked may
	timer     *time.Timer
	armed     time.Time // when timer fires; zero: not armed
	stopped   bool      // the timer is not to be armed any more
	endpoints endpoints
	outcomes  outcomes
	arrived   time.Time         // when a request last did
	ends      map[string]uint64 // instances ended, by reason
	said      said              // by failures
	versions  versions
	rollouts  rollouts
	builds    builds    // of lambdapeer, met so far
	unguarded bool      // the peer met last obeys whoever invokes the function, although we sign
	serialAt  time.Time // when an instance last said that its app serves one request at a time; zero: none did
	bill      *bill.Account
	priced    int  // MB of memory that starts are priced at
	proven    bool // an instance has been up
}

func newFunction(d *Dispatcher, cfg config.Function, o Options) *function {
	plan := planFor(cfg, o.Pricing)
	plan.settings.Scaling.Total = d.budget
	f := &function{
		d:        d,
		name:     cfg.Name,
		config:   cfg,
		provider: o.Providers[cfg.Name],
		token:    o.Tokens[cfg.Name],
		plan:     plan,
		log:      d.log.WithField("function", cfg.Name),
		ends:     map[string]uint64{},
		said:     said{},
		rollouts: rollouts{count: map[string]uint64{}},
		bill:     bill.NewAccount(plan.rates, cfg.Lambda.MemoryMB),
		priced:   cfg.Lambda.MemoryMB,
	}
	f.registers = registrations(cfg.Scaling.Max)
	f.pool = pool.New(f.plan.settings)
	f.timer = time.AfterFunc(time.Hour, f.tick)
	f.timer.Stop()
	return f
}

// registrations allow all of a function's peers to register at once, as they do after a restart, and then a tenth of them a
// second.
func registrations(instances int) bucket.Bucket {
	return bucket.New(min(max(1, float64(instances)/10), 50), max(10, instances))
}

// acquire takes a slot or waits for one. The error is an *admission.Error.
func (f *function) acquire(ctx context.Context, r admission.Request) (*Lease, error) {
	if f.config.Disabled {
		return nil, admission.Reject(admission.Disabled)
	}
	l := &Lease{f: f, id: r.ID}
	l.request.Owner = l
	switch f.enter(l, f.entranceOf(r)) {
	case pool.Leased:
		return l, nil
	case pool.Waiting:
		return f.wait(ctx, l)
	}
	return nil, f.refusal(l)
}

// enter brings an arrival before the pool.
func (f *function) enter(l *Lease, by entrance) pool.RequestState {
	var todo effects
	state := f.arrive(l, by, &todo)
	todo.carryOut(f)
	return state
}

// arrive is the part of enter that needs the lock. A panic must not keep it: the stream of the request survives that.
func (f *function) arrive(l *Lease, by entrance, todo *effects) pool.RequestState {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := now()
	f.arrived = at
	e := by(f.pool, at, &l.request)
	state := l.request.State()
	switch state {
	case pool.Leased:
		f.grant(at, l)
	case pool.Waiting:
		l.woken = make(chan struct{})
	case pool.Rejected:
		f.outcomes.refused(admission.Rejected, causeOf(&l.request))
	}
	f.apply(at, e, todo)
	return state
}

// wait blocks until the pool hands l a slot or gives up on it, or until the client leaves.
func (f *function) wait(ctx context.Context, l *Lease) (*Lease, error) {
	select {
	case <-l.woken:
	case <-ctx.Done():
		l.leave()
		return nil, admission.Evict(admission.Canceled)
	}
	if l.endpoint != "" {
		return l, nil
	}
	return nil, f.refusal(l)
}

func (f *function) refusal(l *Lease) error {
	refused := admission.Reject(causeOf(&l.request))
	if l.woken != nil {
		refused.Outcome = admission.Evicted
	}
	refused.RetryAfter = l.request.RetryAfter()
	return refused
}

// causeOf is why a request was not served, in the words for clients: which of Lambda's limits throttles is not theirs to
// know.
func causeOf(r *pool.Request) admission.Cause {
	if r.Cause().IsThrottled() {
		return admission.Throttled
	}
	return admission.Cause(r.Cause())
}

// grant takes note of a request that got its slot.
func (f *function) grant(at time.Time, l *Lease) {
	l.endpoint, l.granted = f.endpoints.path(l.request.Instance().Index()), at
	f.outcomes.dispatched(l.request.Waited())
	f.bill.Leased(at)
}

// release ends a request, whether it holds a slot, waits for one, or has ended before.
func (f *function) release(p *pool.Pool, at time.Time, l *Lease) *pool.Effects {
	switch {
	case l.request.State() != pool.Leased:
	case l.refused:
		f.bill.Withdrawn(at, l.granted)
	default:
		f.bill.Released(at, l.granted)
	}
	return p.Release(at, &l.request)
}

// tick is the timer's function; it also gives the pool its first look at the clock.
func (f *function) tick() { f.do((*pool.Pool).Tick) }

// do runs one step of the pool under the lock and carries out what it returned.
func (f *function) do(step func(*pool.Pool, time.Time) *pool.Effects) {
	var todo effects
	f.take(step, &todo)
	todo.carryOut(f)
}

// take is the part of do that needs the lock, which it gives back even if the step panics.
func (f *function) take(step func(*pool.Pool, time.Time) *pool.Effects, todo *effects) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := now()
	f.apply(at, step(f.pool, at), todo)
}

// apply takes note of the pool's decisions. What needs other parts is left in todo, to be done without the lock.
func (f *function) apply(at time.Time, e *pool.Effects, todo *effects) {
	for _, r := range e.Dispatched {
		l := r.Owner.(*Lease)
		f.grant(at, l)
		close(l.woken)
	}
	for _, r := range e.Evicted {
		l := r.Owner.(*Lease)
		f.outcomes.refused(admission.Evicted, causeOf(r))
		close(l.woken)
	}
	for _, i := range e.Start {
		f.d.invocations.Add(1) // until invoke's end; here, so that Shutdown finds it counted once the pool is closed
		todo.start = append(todo.start, f.begin(at, i))
	}
	for _, i := range e.Finish {
		left := i.Owner.(*instance)
		todo.finish = append(todo.finish, order{left, left.drainReason()})
	}
	for _, i := range e.Kill {
		todo.kill = append(todo.kill, f.killed(i.Owner.(*instance), at))
	}
	todo.turn = f.turned()
	todo.changed = todo.changed || len(e.Start)+len(e.Drain)+len(e.Kill) > 0
	f.arm(at)
}

// arm sets the timer for the pool's next deadline. A timer that fires early is harmless, so one that is already armed
// for an earlier time is left alone: resetting it at every request would cost more than the request.
func (f *function) arm(at time.Time) {
	next := f.pool.Next()
	if f.stopped || next.IsZero() || !f.armed.IsZero() && f.armed.After(at) && !next.Before(f.armed) {
		return
	}
	f.armed = next
	f.timer.Reset(max(next.Sub(at), 0))
}

func (f *function) stopTimer() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.timer.Stop()
}

// effects are decisions that are carried out without the function's lock.
type effects struct {
	start   []*instance
	kill    []verdict
	ready   []arrival
	finish  []order
	turn    *turn // of a rollout
	changed bool
}

// An arrival is an instance that begins to serve, with what is said about it.
type arrival struct {
	*instance
	environment string
	request     string // Lambda's id of its invocation
	slots       int
	after       time.Duration
}

// An order to finish carries its reason: the pool's instance must not be read without the lock.
type order struct {
	*instance
	reason wire.Reason
}

// A verdict is an instance that is cut off, with what it waited for if it never came up.
type verdict struct {
	*instance
	waited string
}

func (e *effects) carryOut(f *function) {
	if e.turn != nil {
		e.turn.log(f.log)
	}
	for _, i := range e.start {
		f.invoke(i)
	}
	for _, a := range e.ready {
		f.log.WithFields(logrus.Fields{
			"instance": a.id, "environment": a.environment, "request_id": a.request, "slots": a.slots, "after": a.after.Round(time.Millisecond),
		}).Info("instance is ready")
	}
	for _, o := range e.finish {
		f.log.WithFields(logrus.Fields{"instance": o.id, "reason": o.reason}).Info("instance drains")
		f.d.relay.Drain(o.id, o.reason)
	}
	for _, v := range e.kill {
		f.kill(v)
	}
	if e.changed {
		f.d.changed(f.name)
	}
}
