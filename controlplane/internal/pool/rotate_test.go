package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// rotateFor keeps load slots busy while instances rotate, and returns the lowest capacity and the highest live count.
// Each start takes the given time, each drain is obeyed at the next tick.
func rotateFor(w *world, d, startTook time.Duration, load int) (lowest, highest int) {
	busy := w.acquireN(load)
	ups := map[*pool.Instance]time.Time{}
	lowest = 1 << 30
	for end := w.now.Add(d); w.now.Before(end); {
		for len(w.started) > 0 {
			ups[w.takeStarted()] = w.now.Add(startTook)
		}
		w.run(startTook/5, nil)
		for i, at := range ups {
			if !w.now.Before(at) {
				w.did(w.p.Up(w.now, i, 10))
				delete(ups, i)
			}
		}
		w.release(busy...)
		busy = w.acquireN(load)
		w.endDrained()
		if w.now.After(end.Add(startTook - d + time.Second)) {
			lowest = min(lowest, w.p.Stats().Capacity)
		}
		highest = max(highest, w.p.Stats().Live())
	}
	w.release(busy...)
	return lowest, highest
}

func TestRotationReplacesFirst(t *testing.T) {
	for _, tt := range []struct {
		name                string
		lifetime, startTook time.Duration
		max                 int
	}{
		{"15 min", 15 * time.Minute, 5 * time.Second, 100},
		{"1 min", time.Minute, 5 * time.Second, 100},
		{"at max", time.Minute, 5 * time.Second, 3},
		{"15 s, slow", 15 * time.Second, 3 * time.Second, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := story(t, func(s *pool.Settings) { s.Lifetime, s.Scaling.Max = tt.lifetime, tt.max })
			lowest, highest := rotateFor(w, 5*tt.lifetime, tt.startTook, 25)
			require.Equal(t, 30, lowest, "no gap in capacity")
			require.LessOrEqual(t, highest, 6)
			require.GreaterOrEqual(t, w.starts, 15, "five lifetimes of three instances")
			require.LessOrEqual(t, w.starts, 36)
			for _, i := range w.drained {
				require.Equal(t, pool.Rotation, i.DrainReason())
			}
		})
	}
}

func TestRotationIsStaggered(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime, s.Scaling.Max = 10*time.Minute, 20 })
	rs := w.acquireN(200)
	w.upAll()
	most := 0
	w.run(10*time.Minute, func() {
		w.release(rs...)
		rs = w.acquireN(200)
		most = max(most, len(w.started))
		w.upAll()
		w.endDrained()
	})
	require.Equal(t, 40, w.starts)
	require.LessOrEqual(t, most, 5, "a quarter of max at once")
}

// The function's timeout is a minute, the settings say a quarter of an hour: the spread is that of the minute.
func TestRotationIsStaggeredByTheLifeThatThereIs(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime, s.Scaling.Max = 15*time.Minute, 20 })
	upAll := func() {
		for _, i := range w.started {
			i.EndBy(w.now.Add(time.Minute))
		}
		w.upAll()
	}
	rs := w.acquireN(200)
	upAll()
	first := w.starts
	began, most := w.now, 0
	w.run(time.Minute, func() {
		w.release(rs...)
		rs = w.acquireN(200)
		most = max(most, len(w.started))
		if len(w.started) > 0 {
			require.Greater(t, w.now.Sub(began), 45*time.Second, "not long before it is due")
		}
		upAll()
		w.endDrained()
	})
	require.Equal(t, 2*first, w.starts)
	require.LessOrEqual(t, most, 5, "a quarter of max at once")
}

func TestAnInstanceWithNoTimeToServeIsAFailedStart(t *testing.T) {
	for left, state := range map[time.Duration]pool.InstanceState{
		99 * time.Millisecond: pool.Draining, 100 * time.Millisecond: pool.Ready,
	} {
		w := story(t, nil)
		w.acquire()
		w.started[0].EndBy(w.now.Add(left))
		i := w.up()
		require.Equal(t, state, i.State())
		require.Equal(t, state == pool.Draining, w.p.Stats().Failed.Total() == 1)
	}
}

func TestAnInstanceThatCannotBeReplacedServesToTheEnd(t *testing.T) {
	w := story(t, func(s *pool.Settings) {
		s.Lifetime, s.Scaling.StartsBurst, s.Scaling.StartsPerSecond = time.Minute, 1, 0
	})
	begun := w.now
	w.acquire()
	i := w.up()
	w.run(59*time.Second, nil)
	require.Equal(t, pool.Ready, i.State())
	require.Equal(t, 1, w.p.Stats().Rotating)
	w.run(time.Second, nil)
	require.Equal(t, pool.Draining, i.State())
	require.Equal(t, begun.Add(time.Minute), w.now)
}

func TestTheInstanceMayKnowItsEndBetter(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime, s.Scaling.Max = 3*time.Second, 1 })
	w.acquire()
	w.run(5*time.Second, nil) // a cold start longer than the lifetime: the time did not count yet
	end := w.now.Add(3 * time.Second)
	w.started[0].EndBy(end)
	i := w.up()
	require.Equal(t, pool.Ready, i.State())
	i.EndBy(w.now.Add(time.Hour)) // the first counts
	w.run(time.Minute, func() {
		if i.State() != pool.Ready {
			require.False(t, w.now.Before(end.Add(-2*time.Second)))
		}
	})
	require.NotEqual(t, pool.Ready, i.State())
}

func TestAFailedReplacementIsTriedAgain(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime = 10 * time.Minute })
	w.acquire()
	i := w.up()
	for range 3 {
		for len(w.started) == 0 {
			w.run(time.Second, nil)
		}
		require.Equal(t, pool.Ready, i.State())
		w.fail("crashed")
	}
	for len(w.started) == 0 {
		w.run(time.Second, nil)
	}
	w.up()
	require.Equal(t, pool.Draining, i.State())
}

// The timeout of 3 s is below any useful margin: each instance lives, is used, and goes.
func TestThreeSecondFunctionDoesNotLoop(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime = 3 * time.Second })
	w.release(w.acquireN(200)...)
	rs := w.acquireN(200)
	w.run(500*time.Millisecond, nil)
	w.upAll()
	w.requireStates(pool.Leased, rs)
	w.release(rs...)
	w.run(10*time.Minute, func() {
		w.upAll()
		w.endDrained()
	})
	require.LessOrEqual(t, w.starts, 40, "at most one replacement each, for what turned out to be over")
	require.Zero(t, w.p.Stats().Live())
	require.Empty(t, w.started)
}

// How long it has lived says nothing about how long a start takes.
func TestAnInstanceThatCameBackIsNotReplacedEarlier(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime = 10 * time.Minute })
	w.acquire()
	w.run(time.Second, nil)
	i := w.up()
	w.run(5*time.Minute, nil)
	w.did(w.p.Down(w.now, i))
	w.did(w.p.Up(w.now, i, 10))
	back := w.now
	for len(w.started) == 0 {
		w.run(time.Second, nil)
	}
	require.Greater(t, w.now.Sub(back), 3*time.Minute)
	require.Equal(t, pool.Ready, i.State())
}
