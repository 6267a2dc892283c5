package pool_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
)

// busy has two instances that serve ten and two requests, and one that is idle.
func busy(t *testing.T) (w *world, instances []*pool.Instance, leases []*pool.Request) {
	w = newWorld(t, settings())
	leases = w.acquireN(30)
	w.upAll()
	w.release(leases[12:]...)
	return w, slices.Collect(w.p.Instances()), leases[:12]
}

// A pool whose process has stood still does not know what is free: it leases nothing, starts nothing and drains nothing before it has
// heard. What others have leased meanwhile is taken then.
func TestAPoolThatStoodStillDecidesNothingBeforeItHasHeard(t *testing.T) {
	w, instances, leases := busy(t)
	w.now = w.now.Add(4 * time.Second)
	starts := w.starts
	w.did(w.p.StoodStill(w.now))
	w.did(w.p.Tick(w.now))
	w.release(leases[:10]...) // Envoy has ended their streams; their work goes on
	waiting := w.acquireN(12)
	w.run(100*time.Millisecond, nil)
	for _, r := range waiting {
		require.Equal(t, pool.Waiting, r.State(), "leased before it is known what is free")
	}
	require.Empty(t, w.drained)
	for n, taken := range []int{10, 2, 8} { // those eight a caretaker has leased
		w.did(w.p.Report(w.now, instances[n], taken, pool.DefaultDelay))
	}
	w.did(w.p.Resume(w.now))
	require.Equal(t, []int{0, 8, 2}, []int{
		instances[0].InFlight(), instances[1].InFlight() - 2, instances[2].InFlight(),
	}, "as many as are free")
	require.Equal(t, 18, w.p.Stats().Foreign)
	require.Equal(t, 2, w.p.Stats().Waiting)
	require.Zero(t, w.p.Stats().Free)
	w.run(time.Second, nil)
	require.Empty(t, w.drained)
	require.LessOrEqual(t, w.starts, starts+1)
}

// Nor does a rollout go on that is under way, which looks at every report.
func TestARolloutStandsStillWithItsPool(t *testing.T) {
	w, instances, _ := busy(t)
	w.did(w.p.StoodStill(w.now))
	w.did(w.p.Route(w.now, pool.Route{Version: "2"}, rollout.Plan{}, true))
	starts := w.starts
	w.did(w.p.Report(w.now, instances[2], 10, pool.DefaultDelay))
	w.did(w.p.Report(w.now, instances[0], 10, pool.DefaultDelay))
	require.Equal(t, starts, w.starts)
	w.did(w.p.Resume(w.now))
	require.Equal(t, starts+1, w.starts, "one is tried")
}

// What was idle before is kept for a moment: whoever has turned to a caretaker comes back.
func TestAPoolThatStoodStillDrainsNothingAtOnce(t *testing.T) {
	w, instances, leases := busy(t)
	w.release(leases...)
	w.now = w.now.Add(30 * time.Second)
	w.did(w.p.StoodStill(w.now))
	w.did(w.p.Tick(w.now))
	for _, i := range instances {
		w.did(w.p.Report(w.now, i, 0, pool.DefaultDelay))
	}
	w.did(w.p.Resume(w.now))
	w.run(time.Second, nil)
	require.Empty(t, w.drained)
	w.run(time.Minute, nil)
	require.NotEmpty(t, w.drained, "nobody came back")
}

// A start whose time was over meanwhile may have come up: that is not heard yet.
func TestAStartThatCameUpWhileThePoolStoodStill(t *testing.T) {
	w := newWorld(t, settings())
	r := w.acquire()
	i := w.takeStarted()
	w.now = w.now.Add(30 * time.Second) // longer than a start may take
	w.p.Configure(w.now, settings())
	w.did(w.p.StoodStill(w.now))
	w.did(w.p.Tick(w.now.Add(time.Millisecond)))
	require.Empty(t, w.killed)
	w.did(w.p.Up(w.now, i, 10))
	w.did(w.p.Resume(w.now))
	require.Equal(t, pool.Ready, i.State())
	_ = r
}
