package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func lingering(d time.Duration) pool.Settings {
	s := settings()
	s.Linger, s.Lifetime = d, time.Hour
	s.Scaling.Policy = scaler.Frugal(scaler.Cost.Tuning()) // lets go of what is idle at once
	return s
}

// passTo ticks whenever the pool asks for it, until then.
func (w *world) passTo(then time.Time) {
	for next := w.p.Next(); !next.IsZero() && !next.After(then); next = w.p.Next() {
		w.now = next
		w.did(w.p.Tick(w.now))
	}
	w.now = then
}

func TestAnInstanceIsKeptForWhatItsAppDoesAfterAnAnswer(t *testing.T) {
	w := newWorld(t, lingering(2*time.Second))
	r := w.acquire()
	i := w.up()
	w.now = w.now.Add(time.Second)
	w.release(r)
	answered := w.now
	w.passTo(answered.Add(1900 * time.Millisecond))
	require.Empty(t, w.drained)

	again := w.acquire() // it is not starting, nor frozen: it is there
	require.Equal(t, pool.Leased, again.State())
	require.Same(t, i, again.Instance())
	require.Equal(t, 1, w.starts)
	w.passTo(w.now.Add(time.Second))
	w.release(again)
	answered = w.now

	w.passTo(answered.Add(1999 * time.Millisecond))
	require.Empty(t, w.drained, "the time counts from the last answer")
	w.passTo(answered.Add(2100 * time.Millisecond))
	require.Equal(t, []*pool.Instance{i}, w.drained)
	require.Equal(t, []*pool.Instance{i}, w.finished)
}

func TestAnInstanceThatAnsweredNobodyIsNotKept(t *testing.T) {
	s := lingering(time.Minute)
	w := newWorld(t, s)
	r := w.acquire()
	w.release(r) // the client leaves the queue
	i := w.up()
	w.passTo(w.now.Add(time.Second))
	require.Equal(t, []*pool.Instance{i}, w.drained)
	require.Equal(t, []*pool.Instance{i}, w.finished)
}

// Whoever drains it, an instance is told to finish only when its app has had its time; unless none is left.
func TestADrainingInstanceIsKeptAsWell(t *testing.T) {
	for name, drain := range map[string]func(*world, *pool.Instance){
		"the operator": func(w *world, i *pool.Instance) { w.did(w.p.Drain(w.now, i, pool.Operator)) },
		"its peer":     func(w *world, i *pool.Instance) { w.did(w.p.Draining(w.now, i)) },
		"the end":      func(w *world, _ *pool.Instance) { w.did(w.p.Close(w.now, "")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, lingering(2*time.Second))
			r := w.acquire()
			i := w.up()
			drain(w, i)
			require.Empty(t, w.finished, "a request is in flight")
			w.passTo(w.now.Add(time.Second))
			w.release(r)
			answered := w.now
			w.passTo(answered.Add(1999 * time.Millisecond))
			require.Empty(t, w.finished)
			w.passTo(answered.Add(2 * time.Second))
			require.Equal(t, []*pool.Instance{i}, w.finished)
			require.Empty(t, w.killed)
		})
	}
	w := newWorld(t, lingering(time.Hour))
	r := w.acquire()
	i := w.up()
	w.release(r)
	w.did(w.p.Close(w.now, ""))
	w.passTo(w.now.Add(settings().DrainTimeout))
	require.Equal(t, []*pool.Instance{i}, w.finished, "a last call")
	require.Equal(t, []*pool.Instance{i}, w.killed)
}

// A client that leaves does not end what the app does for it: the time counts from when that ends.
func TestTheTimeCountsFromTheEndOfWorkThatNobodyWaitsFor(t *testing.T) {
	w := newWorld(t, lingering(2*time.Second))
	r := w.acquire()
	i := w.up()
	w.did(w.p.Report(w.now, i, 1, 0))
	w.release(r)
	w.passTo(w.now.Add(time.Second))
	require.Equal(t, 1, i.Foreign())
	w.passTo(w.now.Add(5 * time.Second))
	w.did(w.p.Report(w.now, i, 0, 0))
	w.passTo(w.now.Add(300 * time.Millisecond))
	if i.State() == pool.Ready { // else it drains, and is told to finish later
		require.Zero(t, i.Foreign())
	}
	require.Empty(t, w.finished)
	w.passTo(w.now.Add(2 * time.Second))
	require.Equal(t, []*pool.Instance{i}, w.finished)
}
