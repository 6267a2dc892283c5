package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func patient(s *pool.Settings) { s.QueueTimeout = time.Hour }

func TestOneRequestCausesABoundedNumberOfStarts(t *testing.T) {
	for _, cause := range scaler.StartCauses {
		t.Run(string(cause), func(t *testing.T) {
			w := story(t, patient)
			r := w.acquire()
			failAll := func() {
				for len(w.started) > 0 {
					w.fail(cause)
				}
			}
			failAll()
			w.run(time.Hour, failAll)
			require.LessOrEqual(t, w.starts, scaler.Attempts)
			require.Equal(t, pool.Evicted, r.State())
			require.Equal(t, cause, r.Cause())
			require.Zero(t, w.p.Stats().Waiting)
			require.Equal(t, uint64(w.starts), w.p.Stats().Failed.Total())
		})
	}
}

func TestDeniedStopsAndReports(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(30)
	require.Equal(t, 3, w.starts)
	w.fail(scaler.Denied)
	w.requireStates(pool.Waiting, rs) // two starts may still come up
	w.fail(scaler.Denied)
	w.fail(scaler.Denied)
	w.requireStates(pool.Evicted, rs)
	require.Equal(t, scaler.Denied, rs[0].Cause())
	require.Equal(t, scaler.Denied, w.p.Stats().Blocked.Cause)

	const probes = 8 // until the pauses are the longest
	for n := range probes {
		pause := w.p.Stats().Blocked.Until.Sub(w.now)
		w.run(pause-time.Millisecond, nil)
		r := w.acquire()
		require.Equal(t, pool.Rejected, r.State())
		require.Equal(t, scaler.Denied, r.Cause())
		require.Equal(t, 3+n, w.starts)
		w.run(time.Millisecond, nil)
		w.requireStates(pool.Waiting, w.acquireN(20))
		require.Equal(t, 4+n, w.starts, "one probe")
		w.fail(scaler.Denied)
	}
	require.GreaterOrEqual(t, w.p.Stats().Blocked.Until.Sub(w.now), scaler.ProbeEvery/2)
	require.Len(t, w.evicted, 30+20*probes)

	w.run(scaler.ProbeEvery, nil)
	rs = w.acquireN(20)
	w.up()
	require.Equal(t, 3+probes+2, w.starts, "open again: the rest is started")
	w.up()
	w.requireStates(pool.Leased, rs)
	require.Equal(t, scaler.Block{}, w.p.Stats().Blocked)
}

// Clients are told when the next start may be tried, which is all that the breaker knows.
func TestRefusedRequestsKnowWhenToComeAgain(t *testing.T) {
	w := story(t, nil)
	first := w.acquire()
	w.fail(scaler.Denied)
	require.Equal(t, pool.Evicted, first.State())
	until := w.p.Stats().Blocked.Until
	require.Equal(t, until.Sub(w.now), first.RetryAfter())
	require.Positive(t, first.RetryAfter())
	w.run(first.RetryAfter()/2, nil)
	require.Equal(t, until.Sub(w.now), w.acquire().RetryAfter())

	w = story(t, func(s *pool.Settings) { s.QueueTimeout = 3 * time.Second })
	throttled := w.acquireN(200)
	for range 8 {
		for len(w.started) > 0 {
			w.fail(scaler.Throttled)
		}
		w.run(w.p.Stats().Blocked.Until.Sub(w.now), nil)
	}
	for _, r := range throttled {
		require.Equal(t, scaler.Throttled, r.Cause())
		require.Positive(t, r.RetryAfter())
		require.LessOrEqual(t, r.RetryAfter(), 10*time.Second)
	}
}

// Who finds the queue full is told how long those have waited who are served now.
func TestAFullQueueTellsHowLongItIs(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.QueueLimit, s.Scaling.Max, s.QueueTimeout = 5, 1, 0 })
	w.acquireN(5)
	require.Zero(t, w.acquire().RetryAfter(), "nobody has waited yet")
	w.run(2*time.Second, nil)
	require.Equal(t, 2*time.Second, w.acquire().RetryAfter(), "so long at least")
	w.up()
	served := w.acquireN(5)
	w.acquireN(5)
	w.run(7*time.Second, nil)
	w.release(served[0])
	w.acquire()
	require.Equal(t, 7*time.Second, w.acquire().RetryAfter())
	w.run(time.Hour, nil)
	require.Equal(t, time.Minute, w.acquire().RetryAfter())
}

func TestDeniedLeavesReadyInstancesAlone(t *testing.T) {
	w := story(t, nil)
	first := w.acquireN(10)
	w.up()
	rs := w.acquireN(10)
	w.fail(scaler.NotFound)
	w.requireStates(pool.Waiting, rs)
	w.release(first...)
	w.requireStates(pool.Leased, rs)
}

func TestThrottledBacksOffAndKeepsWaiting(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(200)
	require.Equal(t, 20, w.starts)
	for len(w.started) > 0 {
		w.fail(scaler.Throttled)
	}
	w.requireStates(pool.Waiting, rs)
	require.Equal(t, 20, w.starts)
	b := w.p.Stats().Blocked
	require.Equal(t, scaler.Throttled, b.Cause)
	require.LessOrEqual(t, b.Until.Sub(w.now), 200*time.Millisecond, "a burst of failures is one step")

	var pauses []time.Duration
	last := w.now
	w.run(29*time.Second, func() {
		if len(w.started) > 0 {
			pauses = append(pauses, w.now.Sub(last))
			last = w.now
		}
		for len(w.started) > 0 {
			w.fail(scaler.Throttled)
		}
	})
	require.InDelta(t, 8, len(pauses), 1)
	require.Greater(t, pauses[len(pauses)-1], 4*time.Second)
	w.requireStates(pool.Waiting, rs)

	w.run(time.Second, nil)
	w.requireStates(pool.Evicted, rs)
	require.Equal(t, scaler.Throttled, rs[0].Cause(), "not just queue_timeout")
}

func TestCrashesAreProbedOneAtATime(t *testing.T) {
	w := story(t, nil)
	rs := w.acquireN(200)
	for len(w.started) > 0 {
		w.fail(scaler.InitFailed)
	}
	for range 2 {
		w.requireStates(pool.Waiting, rs)
		w.run(4*time.Second, nil)
		require.Len(t, w.started, 1)
		w.fail(scaler.InitFailed)
	}
	require.Equal(t, 22, w.starts)
	w.requireStates(pool.Evicted, rs)
	require.Equal(t, scaler.InitFailed, rs[0].Cause())
	require.Equal(t, pool.Rejected, w.acquire().State())

	w.run(time.Minute, nil)
	rs = w.acquireN(20)
	require.Equal(t, 23, w.starts)
	w.up()
	w.up()
	w.requireStates(pool.Leased, rs)
}

func TestStartTimeoutIsAFailedStart(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Concurrency = 1 })
	w.acquire()
	i := w.takeStarted()
	w.run(20*time.Second, nil)
	require.Equal(t, []*pool.Instance{i}, w.killed)
	require.Equal(t, pool.Down, i.State())
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, []*pool.Instance{i, i}, w.killed, "too late")
	require.Equal(t, scaler.StartTimeout, w.p.Stats().Blocked.Cause)
	w.did(w.p.Ended(w.now, i, pool.End{Cause: scaler.Crashed}))
	require.Equal(t, uint64(1), w.p.Stats().Failed.Total(), "once")
	require.Equal(t, scaler.Crashed, w.p.Stats().Blocked.Cause, "which says more")
}

// A start that began long ago and hangs says nothing about the next one, once another has come up.
func TestAStartThatHangsAloneHoldsNothingBack(t *testing.T) {
	for name, another := range map[string]bool{"another came up": true, "none did": false} {
		t.Run(name, func(t *testing.T) {
			w := story(t, func(s *pool.Settings) { s.Concurrency = 1 })
			w.acquireN(2)
			hangs, other := w.takeStarted(), w.takeStarted()
			w.run(time.Second, nil)
			if another {
				other.In("a")
				w.did(w.p.Up(w.now, other, 1))
			}
			w.run(20*time.Second, nil)
			require.Contains(t, w.killed, hangs)
			require.Equal(t, another, w.p.Stats().Blocked.Cause == "")
			require.NotZero(t, w.p.Stats().Failed.Total())
		})
	}
}

// The same for one of two starts in environments that were there: no start in a new one is needed to tell.
func TestAWarmStartThatHangsAloneHoldsNothingBack(t *testing.T) {
	w := story(t, func(s *pool.Settings) { *s = labSettings(scaler.Balanced, 1); s.StartTimeout = 20 * time.Second })
	rs := w.acquireN(2)
	w.run(time.Second, nil)
	for _, name := range []string{"a", "b"} {
		w.started[0].In(name)
		w.up()
	}
	w.release(rs...)
	w.run(3*time.Second, w.endDrained)
	require.Equal(t, 2, w.p.Stats().Frozen)

	w.acquireN(2)
	hangs, other := w.takeStarted(), w.takeStarted()
	w.run(100*time.Millisecond, nil)
	other.In("a")
	w.did(w.p.Up(w.now, other, 1))
	w.run(20*time.Second-100*time.Millisecond, nil)
	require.Contains(t, w.killed, hangs)
	require.Empty(t, w.p.Stats().Blocked.Cause)
}

// What clients and operators hear of a start that took too long is what its invocation ends with, if that says more. It is
// the same failure all the same: no pause grows, and nothing is counted twice.
func TestALaterCauseReplacesAnEarlierOneThatSaysLess(t *testing.T) {
	for _, cause := range append([]scaler.Cause{""}, scaler.StartCauses[:]...) {
		w := story(t, patient)
		w.acquire()
		i := w.takeStarted()
		w.run(20*time.Second, nil)
		before := w.p.Stats().Blocked
		require.Equal(t, scaler.StartTimeout, before.Cause)
		w.did(w.p.Ended(w.now, i, pool.End{Cause: cause}))
		after := w.p.Stats().Blocked
		require.Equal(t, before.Until, after.Until)
		require.Equal(t, uint64(1), w.p.Stats().Failed.Total())
		switch cause {
		case scaler.InitFailed, scaler.AppUnhealthy, scaler.Crashed, scaler.FunctionError, scaler.Untrusted, scaler.Network:
			require.Equal(t, cause, after.Cause)
		default:
			require.Equal(t, scaler.StartTimeout, after.Cause, "%s says less", cause)
		}
	}
}

// A waiter whose time is over hears what the start waits for.
func TestAWaiterHearsWhatTheStartWaitsFor(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout time.Duration
		ready   bool
		app     bool
		want    pool.Cause
	}{
		"its app":                     {10 * time.Second, false, true, pool.AppStarting},
		"a peer that may come":        {10 * time.Second, false, false, pool.QueueTimeout},
		"a peer that will not come":   {16 * time.Second, false, false, scaler.StartTimeout},
		"nothing: others are serving": {16 * time.Second, true, true, pool.QueueTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			w := story(t, func(s *pool.Settings) {
				s.QueueTimeout, s.StartTimeout, s.Concurrency = tt.timeout, time.Minute, 1
			})
			if tt.ready {
				w.acquire()
				w.up()
			}
			r := w.acquire()
			i := w.takeStarted()
			if tt.app {
				i.AwaitsApp()
			}
			w.run(tt.timeout, nil)
			require.Equal(t, pool.Evicted, r.State())
			require.Equal(t, tt.want, r.Cause())
		})
	}
}

func TestEndlessFailuresUnderLoadStayWithinTheRate(t *testing.T) {
	for _, cause := range scaler.StartCauses {
		t.Run(string(cause), func(t *testing.T) {
			w := story(t, func(s *pool.Settings) { s.QueueTimeout = time.Second })
			for range 1000 {
				w.acquireN(3)
				w.run(100*time.Millisecond, nil)
				for len(w.started) > 0 {
					w.fail(cause)
				}
			}
			// 100 s: a handful of growing pauses, then one step every 15 to 30 s, and at most half the budget in each.
			require.LessOrEqual(t, w.starts, 60)
			require.Equal(t, cause, w.p.Stats().Blocked.Cause)
		})
	}
}

// A function whose lifetime ends before it is up must not be invoked over and over.
func TestInstancesThatComeUpTooLateDoNotLoop(t *testing.T) {
	w := story(t, func(s *pool.Settings) { patient(s); s.Lifetime = 2 * time.Second })
	r := w.acquire()
	for range 3 {
		w.run(2500*time.Millisecond, nil)
		w.up()
		w.endDrained()
		w.run(5*time.Second, nil)
	}
	require.Equal(t, pool.Evicted, r.State())
	require.Equal(t, scaler.TooShort, r.Cause())
	w.run(time.Hour, nil)
	require.Equal(t, 3, w.starts)
}

func TestMinThatEndsAtOnceDoesNotLoop(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 1 })
	upAndEnd := func() {
		for len(w.started) > 0 {
			w.end(w.up(), "")
		}
	}
	upAndEnd()
	w.run(10*time.Minute, upAndEnd)
	require.Less(t, w.starts, 50, "every 15 to 30 s in the end")
	require.Equal(t, scaler.TooShort, w.p.Stats().Blocked.Cause)

	for len(w.started) == 0 {
		w.run(time.Second, nil)
	}
	w.up()
	require.Equal(t, scaler.TooShort, w.p.Stats().Blocked.Cause, "being up proves nothing")
	w.acquire()
	require.Equal(t, scaler.Block{}, w.p.Stats().Blocked, "serving does")
}

// An instance that was lost unused counts as a failed start, since it may never come back. If it does, and serves, starts
// are not held back any longer.
func TestAnUnusedInstanceThatComesBackEndsTheBackoff(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min = 1 })
	i := w.up()
	w.did(w.p.Down(w.now, i))
	require.Equal(t, scaler.TooShort, w.p.Stats().Blocked.Cause)
	w.did(w.p.Up(w.now, i, 10))
	require.Equal(t, scaler.TooShort, w.p.Stats().Blocked.Cause, "being up proves nothing")
	w.acquire()
	require.Equal(t, scaler.Block{}, w.p.Stats().Blocked)
}
