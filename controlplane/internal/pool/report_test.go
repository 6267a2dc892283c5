package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

func (w *world) report(i *pool.Instance, inFlight int) {
	w.did(w.p.Report(w.now, i, inFlight, pool.DefaultDelay))
}

// abandoned is a world with one instance whose ten slots are taken by requests whose clients have left, but for those
// that are returned.
func abandoned(t *testing.T, live int, change func(*pool.Settings)) (*world, *pool.Instance, []*pool.Request) {
	w := story(t, func(s *pool.Settings) {
		s.Scaling.Policy = nil
		if change != nil {
			change(s)
		}
	})
	rs := w.acquireN(10)
	i := w.up()
	w.run(time.Second, nil)
	w.report(i, 10)
	w.run(time.Second, nil)
	w.release(rs[live:]...)
	w.run(500*time.Millisecond, nil)
	return w, i, rs[:live]
}

// Nine of ten clients leave and their handlers work on: whoever comes is served by another instance, which is started.
func TestSlotsOfAbandonedRequestsAreNotLeased(t *testing.T) {
	w, first, live := abandoned(t, 1, nil)
	require.Equal(t, 9, first.Foreign())
	require.Zero(t, w.p.Stats().Free)
	require.Equal(t, 9, w.p.Stats().Foreign)
	r := w.acquire()
	require.Equal(t, pool.Waiting, r.State())
	second := w.up()
	require.Same(t, second, r.Instance())
	require.Equal(t, 9, w.p.Stats().Free)

	w.report(first, 4) // six handlers return, and so does capacity
	require.Equal(t, 6+9, w.p.Stats().Free)
	w.release(live...)
	w.release(r)
}

// A slot that comes free at the peer serves who waits, in the same step.
func TestAFreedForeignSlotServesTheOldestWaiter(t *testing.T) {
	w, i, _ := abandoned(t, 1, func(s *pool.Settings) { s.Scaling.Max = 1 })
	rs := w.acquireN(3)
	w.report(i, 8)
	w.requireStates(pool.Leased, rs[:2])
	require.Equal(t, pool.Waiting, rs[2].State())
}

// One that drains is told to finish when nothing works there any more, or when its time is over.
func TestADrainWaitsForAbandonedRequests(t *testing.T) {
	w, i, live := abandoned(t, 1, nil)
	w.did(w.p.Drain(w.now, i, pool.Operator))
	w.release(live...)
	w.run(time.Second, nil)
	require.Empty(t, w.finished)
	w.report(i, 0)
	require.Equal(t, []*pool.Instance{i}, w.finished)

	w, i, live = abandoned(t, 1, nil)
	w.did(w.p.Drain(w.now, i, pool.Operator))
	w.release(live...)
	w.run(9500*time.Millisecond, nil)
	require.Equal(t, []*pool.Instance{i}, w.finished, "the last call")
}

// An instance that comes back after its peer was lost begins anew.
func TestForeignSlotsEndWithTheConnection(t *testing.T) {
	w, i, _ := abandoned(t, 1, nil)
	w.did(w.p.Down(w.now, i))
	require.Zero(t, w.p.Stats().Foreign)
	w.report(i, 10)
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, 9, w.p.Stats().Free)
}

// Reports of instances that are not up say nothing.
func TestReportsOfOthersAreIgnored(t *testing.T) {
	w := story(t, nil)
	w.acquire()
	i := w.takeStarted()
	w.report(i, 7)
	w.run(time.Second, nil)
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, 9, w.p.Stats().Free)
	w.end(i, "")
	w.report(i, 7)
}
