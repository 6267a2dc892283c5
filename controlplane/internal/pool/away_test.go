package pool_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// When a relay ends, nothing is leased that was reached through it, and nothing is started that could not come up. When it is back,
// its instances serve who waits, and no start was needed.
func TestARelayThatIsStartedAgainCostsNoStart(t *testing.T) {
	w := newWorld(t, settings())
	waiting := w.acquireN(25)
	w.upAll()
	w.release(waiting...)
	starts, instances := w.starts, slices.Collect(w.p.Instances())
	require.Len(t, instances, 3)

	w.did(w.p.Relay(w.now, false))
	for _, i := range instances {
		w.did(w.p.Away(w.now, i))
	}
	waiting = w.acquireN(30)
	w.run(500*time.Millisecond, nil)
	require.Equal(t, starts, w.starts)
	require.Equal(t, scaler.Relayless, w.p.Stats().Blocked.Reason)

	w.did(w.p.Relay(w.now, true))
	w.run(time.Second, nil)
	for _, i := range instances {
		require.Equal(t, pool.Down, i.State())
		w.did(w.p.Up(w.now, i, 10))
	}
	for _, r := range waiting {
		require.Equal(t, pool.Leased, r.State())
	}
	require.Equal(t, starts, w.starts)
	for cause, n := range w.p.Stats().Failed.All() {
		require.Zero(t, n, cause)
	}
}

// What does not come back in time is replaced.
func TestWhatDoesNotComeBackWithItsRelayIsReplaced(t *testing.T) {
	w := newWorld(t, settings())
	first := w.acquire()
	i := w.up()
	w.release(first)
	w.did(w.p.Relay(w.now, false))
	w.did(w.p.Away(w.now, i))
	r := w.acquire()
	w.run(10*time.Second, nil)
	require.Equal(t, 1, w.starts, "nothing could come up")
	w.did(w.p.Relay(w.now, true))
	w.run(3*time.Second, nil)
	require.Equal(t, 2, w.starts)
	w.up()
	require.Equal(t, pool.Leased, r.State())
}

// Starts that are under way when the relay ends cannot come up. That is no reason to hold back others when the relay is back.
func TestStartsThatFoundNoRelayHoldNoOthersBack(t *testing.T) {
	for cause, wait := range map[pool.Cause]time.Duration{scaler.StartTimeout: settings().StartTimeout, scaler.Network: 0} {
		t.Run(string(cause), func(t *testing.T) {
			s := settings()
			s.QueueTimeout = time.Hour
			w := newWorld(t, s)
			waiting := w.acquireN(25)
			require.Equal(t, 3, w.starts)
			w.did(w.p.Relay(w.now, false))
			w.run(wait, nil)
			for range 3 {
				w.fail(cause)
			}
			w.did(w.p.Relay(w.now, true))
			require.Equal(t, 6, w.starts)
			w.upAll()
			w.requireStates(pool.Leased, waiting)
		})
	}
}

// Without a relay not even the minimum is started, and the operator is told why.
func TestNothingIsStartedWithoutARelay(t *testing.T) {
	w := newWorldWithoutTick(t)
	w.did(w.p.Relay(w.now, false))
	w.acquire()
	w.run(20*time.Second, nil)
	require.Zero(t, w.starts)
	require.Equal(t, scaler.Relayless, w.p.Stats().Blocked.Reason)
	w.did(w.p.Relay(w.now, true))
	require.Positive(t, w.starts)
}

// A request may come when the breaker lets the next start be tried, and no relay is there to try it with. It waits for nothing.
func TestARequestThatNobodyCanServeIsRefusedAtOnce(t *testing.T) {
	for name, back := range map[string]bool{"new": false, "refused by an instance": true} {
		t.Run(name, func(t *testing.T) {
			w := story(t, nil)
			w.acquire()
			w.fail(scaler.Denied)
			w.run(scaler.ProbeEvery, nil)
			w.did(w.p.Relay(w.now, false))
			r := &pool.Request{Began: w.now.Add(-time.Second)}
			if back {
				w.did(w.arrived(r, w.p.Return(w.now, r, pool.Refusal{})))
			} else {
				w.did(w.arrived(r, w.p.Acquire(w.now, r)))
			}
			require.Equal(t, pool.Rejected, r.State())
			require.Equal(t, scaler.Denied, r.Cause())
			require.Equal(t, 1, w.starts)
		})
	}
}
