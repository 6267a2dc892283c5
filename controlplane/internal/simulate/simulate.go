// Package simulate replays workloads through the control plane's own pool and scaler, beside a model of Lambda and of the
// app: a discrete-event simulation. It holds no second copy of any rule. The same settings and seed give the same result.
package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// Settings of one run.
type Settings struct {
	Pool       pool.Settings
	Lambda     lambda.Settings
	App        App
	Peers      Peers
	Clients    Clients
	Outage     Outage
	Crashes    time.Duration // mean time between crashes of an instance; 0: never
	BoundSlots int           // what Result.Bound assumes of an instance; 0: Pool.Concurrency
	Fixed      bool          // Sized leaves the maximum of instances as it is
	Samples    int           // points in the time series of Result; 0: none
	Until      time.Duration // end early; 0: when all is done and gone
	After      time.Duration // latencies are those of requests that came later than this
	Deploy     *Deployment   // nil: the code stays as it is
	// StreamsUntold leaves unsaid which requests are streams.
	StreamsUntold bool
}

// Defaults returns the server's own settings for a function of that concurrency, except that the queue has no limit: the wait of a request
// that is refused would not be seen.
func Defaults(concurrency int, seed uint64) Settings {
	s := Settings{
		Pool: pool.Settings{
			Concurrency:  concurrency,
			QueueLimit:   1_000_000,
			QueueTimeout: 30 * time.Second,
			StartTimeout: time.Minute,
			DrainTimeout: 30 * time.Second,
			Seed:         seed,
			Scaling: scaler.Settings{
				Max: 100, StartsInProgress: 100, StartsPerSecond: 50, StartsBurst: 100,
			},
		},
		Lambda: lambda.Defaults(),
	}
	s.Lambda.Seed = seed
	return s
}

// Sized raises the maximum of instances to twice what the requests in flight need at their peak, as the owner of such a workload would.
func (s *Settings) Sized(load workload.Workload) {
	if s.Fixed {
		return
	}
	s.Pool.Scaling.Max = max(s.Pool.Scaling.Max, 2*load.Most(s.Pool.Concurrency))
}

// Priced gives the policy the model's prices.
func (s *Settings) Priced() {
	s.Pool.Scaling.Price = scaler.NewPrice(3600*s.Lambda.PerSecond(), s.Lambda.Prices.Invocation)
}

// epoch is the beginning of a simulation as the pool sees it.
var epoch = time.Unix(1_000_000_000, 0)

// Epoch returns the pool's time of the beginning, for rules that know the workload.
func Epoch() time.Time { return epoch }

// An instance is the simulation's side of a pool.Instance.
type instance struct {
	core       *pool.Instance
	invocation lambda.Invocation
	throttled  bool
	ended      bool
	finishing  bool
	processor  processor
	version    int // of its pending processor event
	peer       peer
}

// A request is on its way through the simulation.
type request struct {
	pool.Request
	work    workload.Request
	on      *instance
	cpuEnd  float64 // virtual time at which its share of the processor is done
	aborted bool
	pending int  // events of Peers that are to come
	again   bool // an instance has refused it before
	began   time.Duration
	tries   int
	life    int // of this struct, which serves several requests
}

// A world is one run.
type world struct {
	settings Settings
	load     workload.Workload
	pool     *pool.Pool
	lambda   *lambda.Lambda
	rand     *rand.Rand
	now      time.Duration
	events   events
	next     int // request that arrives next
	spare    []*request
	running  int           // invocations that have not ended
	away     bool          // Envoy is
	held     []*instance   // that came up meanwhile
	queued   []*request    // that may wait, where an outage will end that
	real     time.Duration // when the current event would have happened without an outage of the control plane
	colds    int           // of the starting ones, those in a new environment
	checked  int           // events since the last full check
	ticks    int           // in a row, at the same time
	meter    meter
}

// Run replays the workload. An error means that the pool broke an invariant.
func Run(load workload.Workload, s Settings) (Result, error) {
	w := newWorld(load, s)
	for w.step() {
		if err := w.check(); err != nil {
			return Result{}, fmt.Errorf("at %s: %w", w.now, err)
		}
	}
	return w.meter.result(s, w.next, w.lambda).with(w.pool.Stats()), nil
}

func newWorld(load workload.Workload, s Settings) *world {
	w := &world{
		settings: s, load: load,
		pool:   pool.New(s.Pool),
		lambda: lambda.New(s.Lambda),
		rand:   rand.New(rand.NewPCG(s.Lambda.Seed, 5)),
		meter:  newMeter(load, s),
	}
	w.planDeployment()
	w.planOutage()
	return w
}

// step carries out the next event. It returns false at the end.
func (w *world) step() bool {
	at, what := w.soonest()
	if what == nothing || w.settings.Until > 0 && at > w.settings.Until {
		return false
	}
	if what != tick || at > w.now {
		w.ticks = 0
	}
	w.real, at = at, w.settings.Outage.heldUntil(at)
	w.meter.pass(w, at)
	w.now = at
	switch what {
	case tick:
		w.ticks++
		w.carryOut(w.pool.Tick(w.clock()))
	case arrival:
		w.arrive()
	default:
		w.happen(w.events.pop())
	}
	return true
}

func (w *world) clock() time.Time { return epoch.Add(w.now) }

// soonest returns the earliest event of the three sources. The pool's timer goes before others of the same time.
func (w *world) soonest() (time.Duration, kind) {
	at, what := time.Duration(1<<62), nothing
	if w.events.len() > 0 {
		at, what = w.events.first().at, w.events.first().kind
	}
	if w.next < len(w.load.Requests) && w.load.Requests[w.next].At < at {
		at, what = w.load.Requests[w.next].At, arrival
	}
	over := what == nothing && w.running == 0 && w.pool.Stats().Waiting == 0
	if next := w.pool.Next(); !over && !next.IsZero() && next.Sub(epoch) <= at {
		at, what = max(w.now, next.Sub(epoch)), tick
	}
	return at, what
}

func (w *world) arrive() {
	r := w.fresh()
	r.work = w.load.Requests[w.next]
	w.next++
	w.attempt(r)
}

// attempt asks the pool for a slot for a request.
func (w *world) attempt(r *request) {
	if w.away {
		w.unserved(r, &w.meter.cut)
		return
	}
	r.Stream = r.work.Stream && !w.settings.StreamsUntold
	w.admitted(r, w.pool.Acquire(w.clock(), &r.Request))
}

// admitted carries out the pool's decision about a request that came.
func (w *world) admitted(r *request, e *pool.Effects) {
	switch r.State() {
	case pool.Leased:
		w.meter.leased(r.work, w.now-r.work.At, false)
		w.begin(r)
	case pool.Rejected:
		w.unserved(r, &w.meter.rejected)
	case pool.Waiting:
		w.wait(r)
	}
	w.expectPatience(r)
	w.carryOut(e)
}

func (w *world) fresh() *request {
	if n := len(w.spare); n > 0 {
		r := w.spare[n-1]
		w.spare = w.spare[:n-1]
		r.life++
		return r
	}
	r := &request{}
	r.Owner = r
	return r
}

func (w *world) recycle(r *request) {
	r.on, r.aborted, r.again, r.tries = nil, false, false, 0
	r.life++
	w.spare = append(w.spare, r)
}

// carryOut does what the pool asks for. It must not call the pool, because the effects are in the pool's own memory.
func (w *world) carryOut(e *pool.Effects) { w.carryOutAfter(e, false) }

// carryOutAfter is carryOut for an event that may have been the Up of an instance in a new environment.
func (w *world) carryOutAfter(e *pool.Effects, cold bool) {
	for _, core := range e.Start {
		w.start(core)
	}
	for _, p := range e.Dispatched {
		r := p.Owner.(*request)
		w.meter.leased(r.work, w.now-r.work.At, cold || w.colds > 0 && p.Waited() > longWait)
		w.begin(r)
	}
	for _, p := range e.Evicted {
		w.unserved(p.Owner.(*request), &w.meter.evicted)
	}
	for _, core := range e.Finish {
		if i := core.Owner.(*instance); !i.finishing {
			i.finishing = true
			w.finish(i)
		}
	}
	for _, core := range e.Kill {
		w.events.push(event{at: w.now, kind: killed, instance: core.Owner.(*instance)})
	}
}

// finish ends an instance that was told to finish, when nothing works there any more.
func (w *world) finish(i *instance) {
	if i.peer.working > 0 {
		i.peer.finishes = true
		return
	}
	w.events.push(event{at: w.now + w.lambda.Finish(), kind: finished, instance: i})
}

// longWait is longer than what a warm start takes.
const longWait = 100 * time.Millisecond

// start invokes the function.
func (w *world) start(core *pool.Instance) {
	invocation, outcome := w.lambda.Invoke(w.now, core.Pin())
	i := &instance{core: core, invocation: invocation}
	core.Owner = i
	w.running++
	if outcome == lambda.Throttled {
		i.throttled = true
		w.events.push(event{at: w.now + 15*time.Millisecond, kind: refused, instance: i})
		return
	}
	if invocation.Cold {
		w.colds++
	}
	w.meter.started(invocation.Cold)
	w.meter.deployment.started(w, i)
	switch outcome {
	case lambda.InitFails:
		w.events.push(event{at: invocation.Up, kind: initFailed, instance: i})
	case lambda.Runs:
		w.events.push(event{at: invocation.Up, kind: up, instance: i})
		if w.settings.Crashes > 0 {
			life := time.Duration(w.rand.ExpFloat64() * float64(w.settings.Crashes))
			w.events.push(event{at: invocation.Up + life, kind: killed, instance: i})
		}
	}
	w.events.push(event{at: invocation.Deadline, kind: killed, instance: i})
}

// happen carries out an event of an instance or of a request.
func (w *world) happen(e event) {
	switch e.kind {
	case done:
		w.done(e.request)
	case processed:
		w.processed(e)
	case up:
		w.up(e.instance)
	case refused:
		w.end(e.instance, scaler.Throttled)
	case initFailed:
		w.end(e.instance, scaler.InitFailed)
	case finished:
		w.end(e.instance, "")
	case killed:
		w.end(e.instance, scaler.Crashed)
	case deployed, read:
		w.deploy(e.kind)
	case sampled:
		w.sampled(e.instance)
	case told:
		w.heard(e)
	case retried:
		w.attempt(e.request)
	case gaveUp:
		w.gaveUp(e)
	case lost, back:
		w.outage(e.kind)
	default:
		w.happenAt(e)
	}
}

func (w *world) up(i *instance) {
	if i.ended {
		return
	}
	if w.away {
		w.holdUp(i)
		return
	}
	if i.invocation.Cold {
		w.colds--
	}
	first := i.core.State() == pool.Starting
	i.core.In(i.invocation.Environment.ID)
	if !i.invocation.Cold {
		i.core.Reused()
	}
	i.core.Runs(i.invocation.Environment.Version)
	i.core.EndBy(epoch.Add(i.invocation.Deadline))
	w.carryOutAfter(w.pool.Up(w.clock(), i.core, w.settings.Pool.Concurrency), first && i.invocation.Cold)
}

// end carries out the end of an invocation, whatever the reason. Requests that are still in flight have failed.
func (w *world) end(i *instance, cause pool.Cause) {
	if i.ended {
		return
	}
	i.ended = true
	w.running--
	if !i.throttled {
		w.meter.deployment.ended(w, i)
		if i.invocation.Cold && i.core.State() == pool.Starting {
			w.colds--
		}
		w.lambda.End(w.now, i.invocation, cause != "")
	}
	if i.core.InFlight() > 0 {
		w.carryOut(w.pool.Down(w.clock(), i.core))
		w.abort(i)
	}
	w.carryOut(w.pool.Ended(w.clock(), i.core, pool.End{Cause: cause}))
}

// abort fails what is in flight on an instance. Events of these requests stay in the heap, and find them gone.
func (w *world) abort(i *instance) {
	if w.settings.Peers.Way > 0 {
		w.cutAt(i)
		return
	}
	var cut []*request
	for _, e := range w.events.heap {
		if e.kind == done && e.request.on == i {
			cut = append(cut, e.request)
		}
	}
	for _, r := range cut {
		if r.aborted {
			continue
		}
		r.aborted = true
		w.again(r, &w.meter.failed)
		w.carryOut(w.pool.Release(w.clock(), &r.Request))
	}
	i.version++
	for _, r := range i.processor.jobs {
		if !r.aborted {
			w.again(r, &w.meter.failed)
			w.carryOut(w.pool.Release(w.clock(), &r.Request))
		}
		w.recycle(r)
	}
	i.processor.jobs = nil
}

// done carries out the end of a request, unless it was aborted before.
func (w *world) done(r *request) {
	if r.aborted {
		w.recycle(r)
		return
	}
	w.meter.answered(r.work, r.began, w.real)
	e := w.pool.Release(w.clock(), &r.Request)
	w.recycle(r)
	w.carryOut(e)
}

// check asserts cheap invariants after every event, and all of them now and then, because a full check looks at each slot.
func (w *world) check() error {
	s := w.pool.Stats()
	limit := w.settings.Pool.Scaling
	switch {
	case w.ticks > 100:
		return errors.New("the pool wants ticks without end")
	case s.Waiting > 0 && s.Free > 0:
		return fmt.Errorf("%d wait beside %d free slots", s.Waiting, s.Free)
	case s.Starting-s.Claimed > limit.StartsInProgress:
		return fmt.Errorf("%d starts in progress, budget %d", s.Starting, limit.StartsInProgress)
	case s.Live() > limit.Max+limit.Surge():
		return fmt.Errorf("%d instances, limit %d", s.Live(), limit.Max)
	}
	if w.checked++; w.checked < 1000+100*s.Capacity {
		return nil
	}
	w.checked = 0
	return w.pool.Check()
}
