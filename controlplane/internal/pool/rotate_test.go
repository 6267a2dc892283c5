package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// serving is how long an invocation lasts whose instance takes requests for d, if its margin is the share of its life.
func serving(d time.Duration) time.Duration { return d * 8 / 5 }

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
		{"13 min", 13 * time.Minute, 5 * time.Second, 100},
		{"1 min", time.Minute, 5 * time.Second, 100},
		{"at max", time.Minute, 5 * time.Second, 3},
		{"15 s, slow", 15 * time.Second, 3 * time.Second, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := story(t, func(s *pool.Settings) { s.Lifetime, s.Scaling.Max = serving(tt.lifetime), tt.max })
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
			i.EndBy(w.now.Add(serving(time.Minute)))
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
		w.started[0].EndBy(w.now.Add(serving(left)))
		i := w.up()
		require.Equal(t, state, i.State())
		require.Equal(t, state == pool.Draining, w.p.Stats().Failed.Total() == 1)
	}
}

func TestAnInstanceThatCannotBeReplacedServesToTheEnd(t *testing.T) {
	w := story(t, func(s *pool.Settings) {
		s.Lifetime, s.Scaling.StartsBurst, s.Scaling.StartsPerSecond = serving(time.Minute), 1, 0
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

// The old instance was down meanwhile and rotates anew: the start that fails is not its replacement any more.
func TestAReplacementThatFailsAfterTheOldOneWasDown(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime = 10 * time.Minute })
	w.acquire()
	old := w.up()
	for len(w.started) == 0 {
		w.run(time.Second, nil)
	}
	w.did(w.p.Down(w.now, old))
	w.did(w.p.Up(w.now, old, 10))
	for w.p.Stats().Rotating == 0 {
		w.run(100*time.Millisecond, nil)
	}
	w.fail("crashed")
	w.run(10*time.Second, nil)
	require.Len(t, w.started, 1, "one replacement for one instance")
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
	w := story(t, func(s *pool.Settings) { s.Lifetime = 15 * time.Minute })
	r := w.acquire()
	w.run(time.Second, nil)
	i := w.up()
	again := func() { // a request that is not long
		w.release(r)
		r = w.acquire()
		w.run(5*time.Second, nil)
	}
	for range 60 {
		again()
	}
	w.did(w.p.Down(w.now, i))
	w.did(w.p.Up(w.now, i, 10))
	back := w.now
	for len(w.started) == 0 {
		again()
	}
	require.Greater(t, w.now.Sub(back), 3*time.Minute)
	require.Equal(t, pool.Ready, i.State())
}

// life is how long the instances of the stories about long requests may run.
const life = 15 * time.Minute

// lastLease is how old an instance is when it gets its last lease, if eight requests of that length are always in flight,
// and another instance takes over in time.
func lastLease(t *testing.T, w *world, i *pool.Instance, request time.Duration) time.Duration {
	type lease struct {
		*pool.Request
		until time.Time
	}
	var out []lease
	last := time.Duration(0)
	for w.now.Sub(i.Started()) < life && i.State() != pool.Gone {
		r := w.acquire()
		w.upAll()
		if r.Instance() == i {
			last = w.now.Sub(i.Started())
		}
		out = append(out, lease{r, w.now.Add(request)})
		w.run(request/8, func() {
			w.upAll()
			w.endDrained()
		})
		for len(out) > 0 && !w.now.Before(out[0].until) {
			w.release(out[0].Request)
			out = out[1:]
		}
		w.endDrained()
	}
	require.Empty(t, w.killed, "each ends before its invocation does")
	return last
}

func TestInstancesRotateAsEarlyAsRequestsAreLong(t *testing.T) {
	for _, tt := range []struct{ request, least, most time.Duration }{
		{time.Second, life - 5*time.Minute, life - 2*time.Minute},
		{2 * time.Minute, life - 5*time.Minute, life - 2*time.Minute},
		{4 * time.Minute, life - 7*time.Minute, life - 4*time.Minute},
		{8 * time.Minute, life - 11*time.Minute, life - 8*time.Minute},
		{10 * time.Minute, 3 * time.Minute, life - 10*time.Minute},
	} {
		t.Run(tt.request.String(), func(t *testing.T) {
			w := story(t, func(s *pool.Settings) {
				s.Lifetime = life
			})
			r := w.acquire()
			i := w.up()
			w.release(r)
			last := lastLease(t, w, i, tt.request)
			require.GreaterOrEqual(t, last, tt.least)
			require.LessOrEqual(t, last, tt.most)
		})
	}
}

// Requests that outlive every instance are cut whatever is done, and are no reason to rotate earlier, once that is known.
func TestEndlessRequestsDoNotShortenLives(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime = life })
	w.acquire()
	first := w.up()
	drainedAfter := func(i *pool.Instance, r *pool.Request) time.Duration {
		w.run(i.Started().Add(life).Sub(w.now)-time.Second, w.upAll)
		w.release(r)
		w.end(i, "")
		return w.drainedAt[i].Sub(i.Started())
	}
	r := w.acquire()
	require.Less(t, drainedAfter(first, r), 6*time.Minute, "it may end yet")
	r = w.acquire()
	w.upAll()
	require.Greater(t, drainedAfter(r.Instance(), r), 10*time.Minute, "nobody knows of any that does")
}

// What is in flight goes on until the invocation's end, however long the drain takes.
func TestADrainLastsAsLongAsTheInvocation(t *testing.T) {
	for _, why := range []pool.Reason{pool.Rotation, pool.ScaleIn, pool.Operator} {
		w := story(t, func(s *pool.Settings) { s.Lifetime = life })
		w.acquire()
		i := w.up()
		ends := i.Started().Add(life)
		w.did(w.p.Drain(w.now, i, why))
		w.run(ends.Sub(w.now)-2*time.Second, nil)
		require.Empty(t, w.finished, "nobody is told to cut anything")
		w.run(time.Second, nil)
		require.Equal(t, []*pool.Instance{i}, w.finished, "in time to answer")
		w.run(time.Second, nil)
		require.Equal(t, []*pool.Instance{i}, w.killed)
	}
}

// But when nobody waits for it any more, or when everything stops, the drain timeout bounds it.
func TestTheDrainTimeoutBoundsWhatNobodyWaitsFor(t *testing.T) {
	for name, then := range map[string]func(*world, *pool.Request){
		"no lease is out": func(w *world, r *pool.Request) { w.release(r) },
		"closed":          func(w *world, _ *pool.Request) { w.did(w.p.Close(w.now, "")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := story(t, func(s *pool.Settings) { s.Lifetime = life })
			r := w.acquire()
			i := w.up()
			w.did(w.p.Drain(w.now, i, pool.Operator))
			w.run(time.Minute, nil)
			then(w, r)
			w.run(9*time.Second, nil)
			require.Empty(t, w.killed)
			w.run(time.Second, nil)
			require.Equal(t, []*pool.Instance{i}, w.killed)
		})
	}
}

// A long drain does not stand in the way of the instance that must take over: at the maximum, too.
func TestADrainDoesNotHoldUpStarts(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime, s.Scaling.Max = life, 1 })
	w.acquire()
	i := w.up()
	w.did(w.p.Drain(w.now, i, pool.Operator))
	r := w.acquire()
	w.up()
	require.Equal(t, pool.Leased, r.State())
	require.Equal(t, pool.Draining, i.State())
}
