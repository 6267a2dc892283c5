package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/culprit"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A function is one pool with its lock and its timer. It carries out what the pool decides.
type function struct {
	// Static after newFunction.
	d    *Dispatcher
	name string
	log  logrus.FieldLogger

	holds    atomic.Pointer[settings] // see settings; stored with mu held
	unfollow context.CancelFunc       // ends follow; guarded by d.configuring

	looking sync.Mutex // held by look, so that one reads the qualifier at a time; taken before mu
	noting  sync.Mutex // held by writeNote, so that relays get notes in order; taken before mu

	// mu guards the fields below. It is never held while calling a relay, a provider or Envoy.
	mu         sync.Mutex
	pool       *pool.Pool
	registers  bucket.Bucket // limits how often peers may register
	timer      *time.Timer
	armed      time.Time // when timer fires; zero: not armed
	stalls     int       // stalls of the process that the pool knows of
	stopped    bool      // the timer must not be armed any more
	forgotten  bool      // it is not in the directory any more, and takes nothing
	endpoints  endpoints
	strange    int // endpoints that d.strange counts
	outcomes   outcomes
	recent     recent
	arrived    time.Time         // when a request last arrived
	ends       map[string]uint64 // instances ended, by reason
	worn       map[string]uint64 // environments that ended because they were worn, by kind of wear
	said       said              // details of the last failures
	failedLast scaler.Cause      // why the last instance failed that did; empty: none did
	versions   versions
	inherited  noted             // from the leader before
	notedAt    time.Time         // the pool's Latest when a note was last written
	rollouts   map[string]uint64 // rollouts that have ended, by outcome: done, or the cause why they were given up
	builds     builds            // builds of lambdapeer met so far
	unguarded  bool              // the peer met last obeys whoever invokes the function, although we sign
	serialAt   time.Time         // when an instance last said that its app serves one request at a time; zero: none did
	culprits   culprit.Book      // which requests kill environments
	bill       *bill.Account
	priced     int  // MB of memory that starts are priced at
	proven     bool // an instance has been up
}

func newFunction(d *Dispatcher, s *settings) *function {
	cfg := s.config
	f := &function{
		d:        d,
		name:     cfg.Name,
		unfollow: func() {},
		log:      d.log.WithField("function", cfg.Name),
		stalls:   d.stalls(now()),
		ends:     map[string]uint64{},
		worn:     map[string]uint64{},
		said:     said{},
		rollouts: map[string]uint64{},
		bill:     bill.NewAccount(s.plan.rates, cfg.Lambda.MemoryMB),
		priced:   cfg.Lambda.MemoryMB,
	}
	f.holds.Store(s)
	f.registers = registrations(cfg.Scaling.Max)
	f.pool = pool.New(s.plan.settings)
	f.pool.Hold()
	f.timer = time.AfterFunc(time.Hour, f.tick)
	f.timer.Stop()
	return f
}

// settings returns the current settings. A caller that needs several of them calls it once.
func (f *function) settings() *settings { return f.holds.Load() }

// registrations limits registrations: all peers of a function may register at once, as they do after a restart, and then a tenth
// of them a second.
func registrations(instances int) bucket.Bucket {
	return bucket.New(min(max(1, float64(instances)/10), 50), max(10, instances))
}

// tick lets the pool act on the time. The timer calls it, and open for the first time.
func (f *function) tick() { f.do((*pool.Pool).Tick) }

// do runs one step of the pool under the lock, then carries out what it decided without the lock.
func (f *function) do(step func(*pool.Pool, time.Time) *pool.Effects) {
	var todo effects
	f.take(step, &todo)
	todo.carryOut(f)
}

// take is the part of do that needs the lock. It releases the lock even if the step panics.
func (f *function) take(step func(*pool.Pool, time.Time) *pool.Effects, todo *effects) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := now()
	f.wake(at, todo)
	f.apply(at, step(f.pool, at), todo)
}

// apply records the pool's decisions. What calls other parts goes to todo, because that must not be done with the lock held.
func (f *function) apply(at time.Time, e *pool.Effects, todo *effects) {
	for _, r := range e.Dispatched {
		l := r.Owner.(*Lease)
		f.grant(at, l)
		close(l.woken)
	}
	for _, r := range e.Evicted {
		l := r.Owner.(*Lease)
		f.turnedAway(at, l, admission.Evicted)
		close(l.woken)
	}
	for _, i := range e.Start {
		f.d.invocations.Add(1) // until invoke ends; counted here, so that Shutdown waits for it once the pool is closed
		todo.start = append(todo.start, f.begin(at, i))
	}
	for _, i := range e.Drain {
		if left := i.Owner.(*instance); !i.Finished() { // or its end is logged in a moment, for the same reason
			todo.leave = append(todo.leave, leaving{finishOrder{left, left.drainReason()}, i.InFlight()})
		}
	}
	for _, i := range e.Finish {
		left := i.Owner.(*instance)
		todo.finish = append(todo.finish, finishOrder{left, left.drainReason()})
	}
	for _, i := range e.Kill {
		todo.kill = append(todo.kill, f.killed(i.Owner.(*instance), at))
	}
	todo.steps = append(todo.steps, f.rolloutSteps(e.Rollout)...)
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
