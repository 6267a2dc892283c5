package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func TestBurstOnEmptyPoolStartsOnePerConcurrency(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(200)
	require.Equal(t, 20, w.starts)
	w.requireStates(pool.Waiting, rs)

	w.upAll()
	w.requireStates(pool.Leased, rs)
	require.Equal(t, 20, w.starts, "nothing more is started once all are served")
	w.release(rs...)
	require.Zero(t, w.p.Stats().InFlight)
	require.Equal(t, 200, w.p.Stats().Free)
}

func TestWaitersAreServedInOrderAsInstancesComeUp(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(35)
	require.Equal(t, 4, w.starts)
	for k := 10; k <= 40; k += 10 {
		w.now = w.now.Add(time.Second)
		w.up()
		require.Equal(t, rs[:min(k, 35)], w.dispatched)
	}
	require.Equal(t, 4*time.Second, rs[34].Waited())
	require.Equal(t, 4, w.starts)
}

func TestFreedSlotGoesToTheOldestWaiter(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Concurrency, s.Scaling.Max = 1, 1 })
	first := w.acquire()
	w.up()
	waiters := w.acquireN(3)
	w.release(waiters[0]) // left the queue
	w.release(first, first, first)
	require.Equal(t, []*pool.Request{first, waiters[1]}, w.dispatched)
	require.Equal(t, pool.Leased, waiters[1].State())
	require.Equal(t, pool.Waiting, waiters[2].State(), "a second release frees nothing")
}

func TestLeasesPackInstances(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 3 })
	w.upAll()
	rs := w.acquireN(21)
	for k, r := range rs {
		require.Equal(t, k/10, r.Instance().Index())
	}
	w.release(rs[3], rs[4], rs[13])
	for _, index := range []int{1, 0, 0, 2} {
		require.Equal(t, index, w.acquire().Instance().Index(), "the fullest that has a free slot")
	}
}

func TestLeasesCanSpreadOverInstances(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min, s.Spread = 3, true })
	w.upAll()
	rs := w.acquireN(6)
	for k, index := range []int{0, 1, 2, 0, 1, 2} {
		require.Equal(t, index, rs[k].Instance().Index())
	}
	w.release(rs[4])
	require.Equal(t, 1, w.acquire().Instance().Index(), "the emptiest")
}

func TestPeerMayOfferFewerSlotsNotMore(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 2 })
	a, b := w.takeStarted(), w.takeStarted()
	w.did(w.p.Up(w.now, a, 3))
	w.did(w.p.Up(w.now, b, 1000))
	require.Equal(t, 3, a.Slots())
	require.Equal(t, 10, b.Slots())
	require.Equal(t, 13, w.p.Stats().Capacity)
}

func TestQueueLimit(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.QueueLimit = 5 })
	w.requireStates(pool.Waiting, w.acquireN(5))
	r := w.acquire()
	require.Equal(t, pool.Rejected, r.State())
	require.Equal(t, pool.QueueFull, r.Cause())
}

func TestQueueTimeout(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.StartTimeout, s.QueueTimeout = 0, 9*time.Second })
	early := w.acquire()
	require.Equal(t, w.now.Add(9*time.Second), w.p.Next())
	w.run(3*time.Second, nil)
	late := w.acquire()
	w.run(6*time.Second, nil)
	require.Equal(t, []*pool.Request{early}, w.evicted)
	require.Equal(t, pool.QueueTimeout, early.Cause())
	require.Equal(t, 9*time.Second, early.Waited())
	w.up()
	require.Equal(t, pool.Leased, late.State(), "the slot goes to somebody else")
	require.Zero(t, w.p.Stats().Waiting)
}

func TestARequestCanBeUsedAgain(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 1 })
	w.upAll()
	r := &pool.Request{Owner: t}
	for range 3 {
		w.did(w.p.Acquire(w.now, r))
		w.did(w.p.Acquire(w.now, r)) // harmless while leased
		require.Equal(t, pool.Leased, r.State())
		require.Equal(t, t, r.Owner)
		w.release(r)
		require.Equal(t, pool.Done, r.State())
	}
	require.Zero(t, w.p.Stats().InFlight)
}

func TestSurplusDrainsAfterTheWindow(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 1 })
	rs := w.acquireN(50)
	w.upAll()
	w.release(rs[10:]...)
	w.run(9*time.Second, nil)
	require.Empty(t, w.drained, "the window still remembers 50")
	w.run(4*time.Second, nil)
	require.Len(t, w.drained, 4, "ten are in flight")
	require.Equal(t, 4, w.p.Stats().Draining)
	for _, i := range w.drained {
		require.Equal(t, pool.ScaleIn, i.DrainReason())
	}
	w.release(rs[:10]...)
	w.endDrained()
	w.run(time.Hour, nil)
	require.Equal(t, 1, w.p.Stats().Ready, "min stays")
	require.True(t, w.p.Next().IsZero(), "an idle pool needs no tick")
	require.Equal(t, 5, w.starts)
}

func TestLeastLoadedDrainsFirst(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(30)
	w.upAll()
	busy := map[int]bool{}
	for _, r := range rs {
		if r.Instance().Index() == 1 {
			busy[r.Instance().Index()] = true
			continue
		}
		w.release(r)
	}
	w.run(12*time.Second, nil)
	require.Len(t, w.drained, 2)
	for _, i := range w.drained {
		require.False(t, busy[i.Index()])
	}
}

func TestIdlePoolGoesToZero(t *testing.T) {
	w := story(t, nil)
	w.acquire()
	i := w.up()
	w.release(w.dispatched...)
	w.run(12*time.Second, nil)
	require.Equal(t, []*pool.Instance{i}, w.drained)
	w.endDrained()
	require.Zero(t, w.p.Stats().Live())
	require.True(t, w.p.Next().IsZero())
}

func TestMinIsKept(t *testing.T) {
	w := newWorldWithoutTick(t)
	require.False(t, w.p.Next().IsZero(), "due at once")
	w.did(w.p.Tick(w.now))
	require.Equal(t, 3, w.starts)
	w.upAll()
	r := w.acquire()
	w.end(r.Instance(), "crashed")
	require.Equal(t, 4, w.starts, "one that served is replaced at once")
}

func newWorldWithoutTick(t *testing.T) *world {
	s := settings()
	s.Scaling.Min = 3
	return &world{t: t, p: pool.New(s), now: time.Unix(1_000_000, 0)}
}

func TestMaxHoldsUntilTheInvocationEnded(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Max = 2 })
	w.acquireN(100)
	require.Equal(t, 2, w.starts)
	require.Equal(t, scaler.AtMax, w.p.Stats().Blocked.Reason)
	i := w.up()
	w.did(w.p.Down(w.now, i))
	require.Equal(t, 2, w.starts, "down, but still invoked")
	w.did(w.p.Ended(w.now, i, pool.End{}))
	require.Equal(t, 3, w.starts)
	w.did(w.p.Ended(w.now, i, pool.End{}))
	require.Equal(t, uint64(1), w.p.Stats().Ended, "a second end is harmless")
}

func TestLeasesOfADeadInstanceStayUntilReleased(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(10)
	i := w.up()
	w.end(i, scaler.Crashed)
	require.Equal(t, 10, w.p.Stats().InFlight)
	require.Zero(t, w.p.Stats().Capacity)
	w.acquire()
	soon := w.up()
	require.NotEqual(t, i.Index(), soon.Index(), "Envoy may still hold connections to the old one")
	w.now = w.now.Add(time.Second)
	w.acquireN(10)
	next := w.up()
	require.Equal(t, i.Index(), next.Index(), "the endpoint is used again")
	w.release(rs...)
	require.Equal(t, 11, w.p.Stats().InFlight)
	require.Equal(t, 1, next.InFlight())
}

func TestDrainingInstanceGetsNoLeaseAndIsKilledInTheEnd(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.StartTimeout = 0 })
	r := w.acquire()
	i := w.up()
	w.did(w.p.Drain(w.now, i, pool.Operator))
	require.Equal(t, pool.Operator, i.DrainReason())
	next := w.acquire()
	require.Equal(t, pool.Waiting, next.State())
	require.Empty(t, w.finished, "its request may still be on the way to it")
	w.run(9*time.Second, nil)
	require.Equal(t, []*pool.Instance{i}, w.finished, "the last call")
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, []*pool.Instance{i, i}, w.finished, "told again when it comes back")
	require.Empty(t, w.killed)
	w.run(time.Second, nil)
	require.Equal(t, []*pool.Instance{i}, w.killed)
	w.run(time.Minute, nil)
	require.Len(t, w.killed, 1, "once is enough")
	w.end(i, "")
	w.release(r)
	require.Zero(t, w.p.Stats().InFlight)
}

func TestDrainingInstanceIsToldToFinishWhenItsLastLeaseEnds(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(2)
	i := w.up()
	w.did(w.p.Drain(w.now, i, pool.ScaleIn))
	require.Equal(t, []*pool.Instance{i}, w.drained)
	w.release(rs[0])
	require.Empty(t, w.finished)
	w.release(rs[1])
	require.Equal(t, []*pool.Instance{i}, w.finished)
	w.run(9900*time.Millisecond, nil)
	require.Len(t, w.finished, 1, "once is enough")
}

// The time in which Envoy does not know the endpoint is not the function's.
func TestAStartTakesUntilThePeerDials(t *testing.T) {
	w := story(t, nil)
	r := w.acquire()
	i := w.takeStarted()
	require.Zero(t, i.Took())
	w.run(time.Second, nil)
	w.did(w.p.Dialled(w.now, i))
	w.run(15*time.Second, nil)
	w.did(w.p.Dialled(w.now, i))
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, pool.Leased, r.State())
	require.Equal(t, time.Second, i.Took())
}

func TestReconnectedInstanceServesAgain(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Max = 1 })
	rs := w.acquireN(12)
	i := w.up()
	w.did(w.p.Down(w.now, i))
	w.release(rs[0])
	require.Equal(t, pool.Waiting, rs[10].State(), "a slot of an instance that is down serves nobody")
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, pool.Leased, rs[10].State())
	require.Equal(t, pool.Waiting, rs[11].State())
}

func TestAdoptedPeers(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling = scaler.Settings{} })
	r := w.acquire()
	require.Zero(t, w.starts)
	require.Equal(t, scaler.Never, w.p.Stats().Blocked.Reason)
	i, err := w.p.Adopt(w.now)
	require.NoError(t, err)
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, pool.Leased, r.State())
	w.release(r)
	w.run(time.Hour, nil)
	require.Equal(t, pool.Ready, i.State(), "nobody drains what nobody started")
	require.True(t, w.p.Next().IsZero())
}

func TestAdoptionStopsAtMax(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling = scaler.Settings{Max: 2} })
	for range 2 {
		_, err := w.p.Adopt(w.now)
		require.NoError(t, err)
	}
	_, err := w.p.Adopt(w.now)
	require.ErrorIs(t, err, pool.ErrFull)
	w.did(w.p.Close(w.now, ""))
	_, err = w.p.Adopt(w.now)
	require.ErrorIs(t, err, pool.ErrClosed)
}

func TestClose(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Max = 2 })
	rs := w.acquireN(30)
	ready, starting := w.up(), w.takeStarted()
	w.did(w.p.Close(w.now, "shutdown"))
	w.requireStates(pool.Evicted, rs[10:])
	require.Equal(t, pool.Cause("shutdown"), rs[10].Cause())
	require.ElementsMatch(t, []*pool.Instance{ready, starting}, w.drained)
	require.Equal(t, pool.Cause("shutdown"), w.acquire().Cause())
	w.release(rs...)
	w.endDrained()
	require.Zero(t, w.p.Stats().Live())
	require.Equal(t, 2, w.starts)
	require.Zero(t, w.p.Stats().Failed.Total())
}
