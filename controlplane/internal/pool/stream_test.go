package pool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

func (w *world) streams(n int) []*pool.Request {
	rs := make([]*pool.Request, n)
	for k := range rs {
		rs[k] = &pool.Request{Stream: true}
		w.did(w.p.Acquire(w.now, rs[k]))
	}
	return rs
}

// Streams come one by one in the middle of a crowd of short requests. They gather on one instance, and the others run empty when the crowd is gone.
func TestStreamsGatherOnFewInstances(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 4 })
	w.upAll()
	first := w.streams(1)[0]
	for range 5 {
		crowd := w.acquireN(30)
		second := w.streams(1)[0]
		require.Equal(t, first.Instance().Index(), second.Instance().Index())
		w.release(crowd...)
	}
	require.Equal(t, 6, first.Instance().InFlight())
}

// Short requests fill the instances of streams first, since these go on anyway, all but one slot of each.
func TestShortRequestsFillTheInstancesOfStreams(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 2 })
	w.upAll()
	with := w.streams(1)[0].Instance()
	rs := w.acquireN(12)
	for _, r := range rs[:8] {
		require.Equal(t, with.Index(), r.Instance().Index())
	}
	for _, r := range rs[8:] {
		require.NotEqual(t, with.Index(), r.Instance().Index())
	}
	w.release(rs[0])
	require.Equal(t, with.Index(), w.acquire().Instance().Index(), "though the other one is not empty")
}

// The slot that is left for the next stream is not kept from anybody who would wait for it.
func TestNobodyWaitsBesideASlotForStreams(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min, s.Scaling.Max = 2, 2 })
	w.upAll()
	first := w.streams(1)[0]
	rs := w.acquireN(19)
	w.requireStates(pool.Leased, rs)
	require.Equal(t, first.Instance().Index(), rs[18].Instance().Index(), "the last slot of all")

	w.release(first)
	require.Zero(t, w.streams(1)[0].Waited())
	waiting := w.streams(1)[0]
	require.Equal(t, pool.Waiting, waiting.State())
	w.release(rs[3])
	require.Equal(t, pool.Leased, waiting.State())
}

// An instance whose streams have ended is one like the others.
func TestAnInstanceIsNotMarkedByStreamsThatHaveEnded(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 2 })
	w.upAll()
	w.release(w.streams(3)...)
	rs := w.acquireN(10)
	for _, r := range rs {
		require.Equal(t, rs[0].Instance().Index(), r.Instance().Index())
	}
}

// A request that may kill its environment goes where the fewest others are, and others come there last.
func TestDeadlyRequestsGoWhereFewAre(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 2 })
	w.upAll()
	full := w.acquireN(5)[0].Instance()
	deadly := &pool.Request{Deadly: true}
	w.did(w.p.Acquire(w.now, deadly))
	require.NotEqual(t, full.Index(), deadly.Instance().Index())
	for _, r := range w.acquireN(5) {
		require.Equal(t, full.Index(), r.Instance().Index())
	}
	require.Equal(t, 1, deadly.Instance().InFlight())
}
