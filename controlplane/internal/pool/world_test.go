package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
)

// settings are roomy: no guard is in the way unless a test tightens it.
func settings() pool.Settings {
	return pool.Settings{
		Concurrency: 10, QueueLimit: 1000, QueueTimeout: 30 * time.Second,
		StartTimeout: 20 * time.Second, DrainTimeout: 10 * time.Second,
		Scaling: scaler.Settings{
			Max: 100, StartsInProgress: 50, StartsPerSecond: 10, StartsBurst: 50, Policy: baseline.FollowDemand, // simple enough to tell what it will do
		},
		Seed: 1,
	}
}

// A world is a pool with a clock that tells stories: what the pool asked for is collected, and every step is checked.
type world struct {
	t   require.TestingT
	p   *pool.Pool
	now time.Time

	started    []*pool.Instance // asked to start and not yet taken by up or fail
	dispatched []*pool.Request
	evicted    []*pool.Request
	drained    []*pool.Instance
	drainedAt  map[*pool.Instance]time.Time
	finished   []*pool.Instance
	killed     []*pool.Instance
	starts     int
	rolled     []pool.Progress
}

func newWorld(t require.TestingT, s pool.Settings) *world {
	w := &world{t: t, p: pool.New(s), now: time.Unix(1_000_000, 0), drainedAt: map[*pool.Instance]time.Time{}}
	w.did(w.p.Tick(w.now))
	return w
}

func (w *world) did(e *pool.Effects) {
	w.collect(e)
	require.NoError(w.t, w.p.Check())
}

func (w *world) collect(e *pool.Effects) {
	w.starts += len(e.Start)
	w.rolled = append(w.rolled, e.Rollout...)
	w.started = append(w.started, e.Start...)
	w.dispatched = append(w.dispatched, e.Dispatched...)
	w.evicted = append(w.evicted, e.Evicted...)
	w.drained = append(w.drained, e.Drain...)
	for _, i := range e.Drain {
		w.drainedAt[i] = w.now
	}
	w.finished = append(w.finished, e.Finish...)
	w.killed = append(w.killed, e.Kill...)
}

func (w *world) acquire() *pool.Request { return w.acquireN(1)[0] }

// acquireN and release check once, when all is done.
func (w *world) acquireN(n int) []*pool.Request {
	rs := make([]*pool.Request, n)
	for k := range rs {
		rs[k] = &pool.Request{}
		w.collect(w.arrived(rs[k], w.p.Acquire(w.now, rs[k])))
	}
	require.NoError(w.t, w.p.Check())
	return rs
}

// arrived requires that the arrival of a request tells what becomes of it by its state alone.
func (w *world) arrived(r *pool.Request, e *pool.Effects) *pool.Effects {
	require.Contains(w.t, []pool.RequestState{pool.Leased, pool.Waiting, pool.Rejected}, r.State())
	require.NotContains(w.t, e.Dispatched, r)
	require.NotContains(w.t, e.Evicted, r)
	return e
}

func (w *world) release(rs ...*pool.Request) {
	for _, r := range rs {
		w.collect(w.p.Release(w.now, r))
	}
	require.NoError(w.t, w.p.Check())
}

// takeStarted returns the oldest start that nobody has taken.
func (w *world) takeStarted() *pool.Instance {
	require.NotEmpty(w.t, w.started, "no start")
	i := w.started[0]
	w.started = w.started[1:]
	return i
}

func (w *world) up() *pool.Instance {
	i := w.takeStarted()
	w.did(w.p.Up(w.now, i, 10))
	return i
}

func (w *world) upAll() {
	for len(w.started) > 0 {
		w.up()
	}
}

func (w *world) fail(c pool.Cause) {
	w.end(w.takeStarted(), c)
}

func (w *world) end(i *pool.Instance, c pool.Cause) {
	w.did(w.p.Down(w.now, i))
	w.did(w.p.Ended(w.now, i, pool.End{Cause: c}))
}

// endDrained is the peers' part of a drain.
func (w *world) endDrained() {
	for _, i := range w.drained {
		if i.State() == pool.Draining && i.InFlight() == 0 {
			w.end(i, "")
		}
	}
}

// run lets time pass, ticking exactly when the pool says, and calls each after every tick.
func (w *world) run(d time.Duration, each func()) {
	end := w.now.Add(d)
	for n := 0; ; n++ {
		require.Less(w.t, n, 100_000, "the pool wants ticks without end")
		next := w.p.Next()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(w.now) {
			w.now = next
		}
		w.did(w.p.Tick(w.now))
		if each != nil {
			each()
		}
	}
	w.now = end
	w.did(w.p.Tick(w.now))
}

func (w *world) requireStates(want pool.RequestState, rs []*pool.Request) {
	for k, r := range rs {
		require.Equal(w.t, want, r.State(), "request %d, cause %q", k, r.Cause())
	}
}

func story(t *testing.T, change func(*pool.Settings)) *world {
	s := settings()
	if change != nil {
		change(&s)
	}
	return newWorld(t, s)
}
