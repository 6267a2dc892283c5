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

// A refused request comes back to the place of its arrival: before those who came later, behind those who came sooner.
func TestARefusedRequestComesBackToItsPlace(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Policy, s.Scaling.Max, s.QueueLimit = nil, 1, 2 })
	rs := w.acquireN(2)
	i := w.up()
	w.requireStates(pool.Leased, rs)
	arrived := w.now
	w.run(time.Second, nil)
	others := w.acquireN(8)
	early, late := w.acquire(), w.acquire()
	require.Equal(t, pool.Rejected, w.acquire().State(), "two wait, which is the limit")

	back := &pool.Request{Began: arrived}
	w.did(w.p.Return(w.now, back, pool.Refusal{By: i, Lease: rs[0]}))
	require.Equal(t, pool.Waiting, back.State())
	require.Equal(t, 1, i.Foreign(), "somebody else has the tenth slot")
	w.release(rs[0])
	require.Zero(t, w.p.Stats().Free)
	require.Equal(t, pool.Rejected, w.acquire().State())
	w.release(others[0])
	require.Zero(t, w.p.Stats().Free, "who else is about to be refused is not known")
	require.Equal(t, pool.Waiting, back.State())
	w.run(50*time.Millisecond, nil)
	w.report(i, 9)
	w.release(others[1:3]...)
	require.Equal(t, []*pool.Request{rs[0], rs[1], back, early, late}, append(rs[:2:2], w.dispatched[2:]...))
	require.Equal(t, 1050*time.Millisecond, back.Waited())
	require.EqualValues(t, 1, w.p.Stats().Returned)
}

// Nobody waits longer for having been refused, and where nothing may wait nothing does.
func TestARefusedRequestHasNoMoreTimeThanOthers(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Max = 1 })
	w.acquire()
	i := w.up()
	w.acquireN(9)
	back := &pool.Request{Began: w.now.Add(-29 * time.Second)}
	w.did(w.p.Return(w.now, back, pool.Refusal{By: i}))
	w.run(1100*time.Millisecond, nil)
	require.Equal(t, pool.Evicted, back.State())
	require.Equal(t, pool.QueueTimeout, back.Cause())

	w = story(t, func(s *pool.Settings) { s.QueueLimit, s.Scaling.Min, s.Scaling.Max = 0, 1, 1 })
	i = w.up()
	w.acquireN(10)
	back = &pool.Request{}
	w.did(w.p.Return(w.now, back, pool.Refusal{By: i}))
	require.Equal(t, pool.Rejected, back.State())
	require.Equal(t, pool.Overload, back.Cause())
	w.did(w.p.Close(w.now, ""))
	back = &pool.Request{}
	w.did(w.p.Return(w.now, back, pool.Refusal{By: i}))
	require.Equal(t, pool.Closed, back.Cause())
}

// Of a crowd that is refused together nobody is sent to the same instance again, whichever ends come first.
func TestACrowdIsRefusedOnce(t *testing.T) {
	for _, endsFirst := range []bool{true, false} {
		w := story(t, func(s *pool.Settings) { s.Scaling.Policy = nil })
		rs := w.acquireN(10)
		first := w.up()
		w.report(first, 10)
		w.run(time.Second, nil)
		w.release(rs...) // and their handlers work on
		crowd := w.acquireN(10)
		w.requireStates(pool.Leased, crowd)
		if endsFirst {
			w.release(crowd...)
		}
		backs := make([]*pool.Request, len(crowd))
		for k := range crowd {
			backs[k] = &pool.Request{}
			w.did(w.p.Return(w.now, backs[k], pool.Refusal{By: first, Lease: crowd[k]}))
		}
		w.release(crowd...)
		w.requireStates(pool.Waiting, backs)
		w.report(first, 10)
		w.requireStates(pool.Waiting, backs)
		w.run(100*time.Millisecond, nil)
		w.report(first, 10)
		w.requireStates(pool.Waiting, backs)
		require.Equal(t, 10, first.Foreign())
		w.up()
		w.requireStates(pool.Leased, backs)
	}
}
