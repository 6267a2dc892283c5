package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// While no Envoy is connected nothing is started that nobody waits for: no minimum, no replacement, no reserve.
func TestNothingIsStartedForNobody(t *testing.T) {
	w := newWorldWithoutTick(t)
	w.did(w.p.Reach(w.now, false))
	w.run(time.Hour, nil)
	require.Zero(t, w.starts)
	require.Equal(t, scaler.Unreachable, w.p.Stats().Blocked.Reason)
	r := w.acquire()
	require.Positive(t, w.starts, "somebody waits, so an Envoy is there")
	w.upAll()
	require.Equal(t, pool.Leased, r.State())
	w.release(r)
	w.did(w.p.Reach(w.now, true))
	require.Equal(t, 3, w.starts)
	require.Equal(t, scaler.Block{}, w.p.Stats().Blocked)
}

// What has dialled while no Envoy is connected is let go within a second or so, with its cause, and not started again.
func TestAnInstanceThatNobodyCanReachIsLetGo(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 1 })
	i := w.takeStarted()
	w.did(w.p.Reach(w.now, false))
	w.did(w.p.Dialled(w.now, i))
	w.run(2*time.Second, w.endDrained)
	require.Equal(t, []*pool.Instance{i}, w.finished)
	require.Equal(t, pool.NoEnvoy, i.DrainReason())
	require.Equal(t, pool.Gone, i.State())
	for cause, n := range w.p.Stats().Failed.All() {
		require.Equal(t, cause == scaler.NoEnvoy, n == 1, cause)
	}
	require.Equal(t, scaler.Unreachable, w.p.Stats().Blocked.Reason)
	w.run(time.Hour, nil)
	require.Equal(t, 1, w.starts)
	w.did(w.p.Reach(w.now, true))
	require.Equal(t, 2, w.starts, "at once: the cause is gone")
}

// An Envoy may be on its way to those who wait. But it is not waited for, billed, for ever.
func TestAnInstanceThatSomebodyWaitsForIsKeptForAWhile(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.QueueTimeout = 0 })
	w.did(w.p.Reach(w.now, false))
	r := w.acquire()
	i := w.takeStarted()
	w.did(w.p.Dialled(w.now, i))
	w.run(19*time.Second, w.endDrained)
	require.Empty(t, w.drained)
	require.Equal(t, pool.Starting, i.State())
	w.run(time.Second, w.endDrained)
	require.Equal(t, []*pool.Instance{i}, w.drained)
	require.Equal(t, pool.Gone, i.State())
	w.run(time.Second, nil)
	require.Equal(t, 2, w.starts, "it still waits")
	w.up()
	require.Equal(t, pool.Leased, r.State())
}

// An Envoy that is connected and does not take endpoints is as good as none.
func TestAnEnvoyThatTakesNoEndpoints(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 1 })
	i := w.takeStarted()
	w.did(w.p.Dialled(w.now, i))
	w.run(19*time.Second, w.endDrained)
	require.Equal(t, pool.Starting, i.State())
	w.run(time.Hour, w.endDrained)
	require.Equal(t, pool.Gone, i.State())
	require.Equal(t, 1, w.starts)
	w.did(w.p.Reach(w.now, true))
	require.Equal(t, 2, w.starts, "it has taken some")
}

// A peer that came by itself costs nothing and stays.
func TestAnAdoptedPeerWaitsForEnvoy(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling = scaler.Settings{} })
	i, err := w.p.Adopt(w.now)
	require.NoError(t, err)
	w.did(w.p.Reach(w.now, false))
	w.did(w.p.Dialled(w.now, i))
	w.run(time.Hour, nil)
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, pool.Ready, i.State())
}

// An instance without work lives at most a second longer than its reason: a lease, a waiter, the minimum, or slots held free
// beside those in use. That holds through outages of Envoy, in which starts are held and times could be learned wrong.
func TestNothingWithoutWorkLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(preferences).Draw(t, "preference")
		s := labSettings(p, rapid.SampledFrom([]int{1, 10}).Draw(t, "concurrency"))
		l := newLab(t, s, time.Duration(rapid.SampledFrom([]int{1, 7}).Draw(t, "cold"))*time.Second)
		needed := scaler.NewWindow(needlessFor)
		var busy time.Time                      // when requests were in flight
		since := map[*pool.Instance]time.Time{} // it is up, or held for nobody
		l.check = func(l *lab) {
			st := l.p.Stats()
			if st.InFlight > 0 {
				busy = l.now
			}
			free := 0
			if p == scaler.Latency && l.now.Sub(busy) < 15*time.Second {
				free = 5 // held, beside at most 30 in flight
			}
			needed.Observe(l.now, (st.InFlight+st.Waiting+free+s.Concurrency-1)/s.Concurrency)
			idle := 0
			for i := range l.p.Instances() {
				held := i.State() == pool.Starting && l.held[i] && l.outage && st.Waiting == 0
				switch {
				case !held && i.State() != pool.Ready:
					delete(since, i)
				case since[i].IsZero():
					since[i] = l.now
				case l.now.Sub(since[i]) < needlessFor:
				case i.State() == pool.Ready && i.InFlight() == 0:
					idle++
				default:
					require.Equal(t, pool.Ready, i.State(), "held for nobody")
				}
			}
			require.LessOrEqual(t, min(idle, st.Ready-needed.Peak(l.now)), 0, "idle for no reason")
		}
		in := time.Duration(0)
		for range rapid.IntRange(1, 5).Draw(t, "waves") {
			service := rapid.SampledFrom([]time.Duration{5 * time.Millisecond, time.Second}).Draw(t, "service")
			l.send(in, rapid.IntRange(1, 30).Draw(t, "requests"), time.Duration(rapid.IntRange(0, 400).Draw(t, "apart"))*time.Millisecond, service)
			in += time.Duration(rapid.IntRange(0, 20_000).Draw(t, "pause")) * time.Millisecond
			begins := in + time.Duration(rapid.IntRange(0, 5000).Draw(t, "outage begins"))*time.Millisecond
			l.after(begins, func() { l.setOutage(true) })
			l.after(begins+time.Duration(rapid.IntRange(1, 150_000).Draw(t, "outage lasts"))*time.Millisecond, func() { l.setOutage(false) })
		}
		for range 1000 { // looks at least every 200 ms
			l.run(200 * time.Millisecond)
			l.look()
		}
		l.run(time.Hour)
		require.Empty(t, l.waiting)
	})
}

// needlessFor is a second, and a little for what the pool finds out by looking now and then.
const needlessFor = time.Second + 200*time.Millisecond
