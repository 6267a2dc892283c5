package scaler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

const budget = 16

func guards() *scaler.Guards {
	return scaler.NewGuards(scaler.Settings{
		Max: 100, StartsInProgress: budget, StartsPerSecond: 1000, StartsBurst: 1000,
	}, 7)
}

func room(g *scaler.Guards, now time.Time, starting int) int {
	n, _ := g.Room(now, scaler.Load{Starting: starting})
	return n
}

// failOnce lets one start fail as soon as the breaker allows one, and returns when.
func failOnce(g *scaler.Guards, now time.Time, c scaler.Cause) time.Time {
	if b := g.Breaker.Block(); b.Until.After(now) {
		now = b.Until
	}
	g.Breaker.Failed(now, c, g.Breaker.Epoch(), false)
	return now
}

func TestBreakerPausesGrowAndAreJittered(t *testing.T) {
	for _, tt := range []struct {
		cause          scaler.Cause
		first, longest time.Duration
	}{
		{scaler.ThrottledReserved, 200 * time.Millisecond, 10 * time.Second},
		{scaler.ThrottledRate, 200 * time.Millisecond, 10 * time.Second},
		{scaler.Network, 200 * time.Millisecond, 10 * time.Second},
		{scaler.Unknown, 200 * time.Millisecond, 30 * time.Second},
		{scaler.Crashed, time.Second, 30 * time.Second},
		{scaler.StartTimeout, time.Second, 30 * time.Second},
		{scaler.Denied, time.Second, scaler.ProbeEvery},
		{scaler.NotFound, time.Second, scaler.ProbeEvery},
	} {
		g, now := guards(), epoch
		for step := range 40 {
			now = failOnce(g, now, tt.cause)
			pause := g.Breaker.Block().Until.Sub(now)
			most := min(tt.first<<min(step, 20), tt.longest)
			require.LessOrEqual(t, pause, most, "%s, step %d", tt.cause, step)
			require.GreaterOrEqual(t, pause, most/2, "%s, step %d", tt.cause, step)
		}
	}
}

func TestBreakerRoomByCause(t *testing.T) {
	for _, tt := range []struct {
		cause scaler.Cause
		after int // failures
		room  int
		open  bool
	}{
		{scaler.Throttled, 1, budget / 2, false},
		{scaler.Throttled, 2, budget / 4, false},
		{scaler.Throttled, 30, 1, false},
		{scaler.ThrottledAccount, 1, budget / 2, false},
		{scaler.ThrottledReserved, 1, 1, false},
		{scaler.ThrottledReserved, 30, 1, false},
		{scaler.InitFailed, 1, 1, false},
		{scaler.FunctionError, 2, 1, false},
		{scaler.TimedOut, 3, 1, true},
		{scaler.InitFailed, 3, 1, true},
		{scaler.Denied, 1, 1, true},
		{scaler.NotFound, 9, 1, true},
		{scaler.TooLarge, 1, 1, true},
	} {
		g, now := guards(), epoch
		require.Equal(t, budget, room(g, now, 0))
		for range tt.after {
			now = failOnce(g, now, tt.cause)
		}
		until := g.Breaker.Block().Until
		require.Zero(t, room(g, until.Add(-1), 0))
		require.Equal(t, tt.room, room(g, until, 0), "%s after %d", tt.cause, tt.after)
		require.Zero(t, room(g, until, tt.room), "in progress")
		require.Equal(t, tt.open, g.Breaker.Open())
	}
}

func TestBreakerTriesAnotherStartWhereOneHangs(t *testing.T) {
	g := guards()
	now := failOnce(g, epoch, scaler.StartTimeout).Add(time.Minute)
	for lost, want := range []int{0, 1} {
		n, _ := g.Room(now, scaler.Load{Starting: 1, Lost: lost})
		require.Equal(t, want, n)
	}
}

func TestBreakerCountsABurstOnce(t *testing.T) {
	g := guards()
	for range 50 {
		g.Breaker.Failed(epoch, scaler.Throttled, 0, false)
	}
	require.LessOrEqual(t, g.Breaker.Block().Until.Sub(epoch), 200*time.Millisecond)
	g.Breaker.Failed(epoch, scaler.Denied, 0, false)
	require.Equal(t, scaler.Denied, g.Breaker.Cause(), "the stricter cause of a burst counts")
	g.Breaker.Failed(epoch, scaler.Throttled, 0, false)
	require.Equal(t, scaler.Denied, g.Breaker.Cause())
}

func TestBreakerEvidence(t *testing.T) {
	for _, tt := range []struct {
		cause scaler.Cause
		old   bool // does an older start that comes up close it?
	}{
		{scaler.Throttled, false}, {scaler.Denied, false}, {scaler.Crashed, true}, {scaler.Network, true},
	} {
		g := guards()
		g.Breaker.Failed(epoch, tt.cause, 0, false)
		g.Breaker.Up(0)
		require.Equal(t, tt.old, g.Breaker.Cause() == "", "%s", tt.cause)
		g.Breaker.Up(g.Breaker.Epoch())
		require.Empty(t, g.Breaker.Cause())
	}
	g := guards()
	g.Breaker.Failed(epoch, scaler.TooShort, 0, true)
	g.Breaker.Up(1)
	g.Breaker.Served(0)
	require.Equal(t, scaler.TooShort, g.Breaker.Cause())
	g.Breaker.Served(1)
	require.Empty(t, g.Breaker.Cause())
}

// A start that took too long has a cause of its own in the end. It is no further failure.
func TestBreakerIsToldWhyAStartTookTooLong(t *testing.T) {
	g := guards()
	g.Breaker.Explain(scaler.Crashed)
	require.Empty(t, g.Breaker.Cause(), "of no failure")
	failOnce(g, epoch, scaler.StartTimeout)
	before, n := g.Breaker.Block(), g.Breaker.Epoch()
	g.Breaker.Explain(scaler.TimedOut)
	g.Breaker.Explain(scaler.Unknown)
	g.Breaker.Explain("")
	require.Equal(t, scaler.StartTimeout, g.Breaker.Cause(), "those say less")
	g.Breaker.Explain(scaler.AppUnhealthy)
	require.Equal(t, scaler.AppUnhealthy, g.Breaker.Cause())
	g.Breaker.Explain(scaler.Crashed)
	require.Equal(t, scaler.AppUnhealthy, g.Breaker.Cause(), "the first one that says something")
	require.Equal(t, before.Until, g.Breaker.Block().Until)
	require.Equal(t, n, g.Breaker.Epoch())
}

func TestBreakerIsSpentAfterAttempts(t *testing.T) {
	g, now := guards(), epoch
	g.Breaker.Arrived(now, true)
	for range scaler.Attempts {
		require.False(t, g.Breaker.Spent())
		now = failOnce(g, now, scaler.Throttled)
	}
	require.True(t, g.Breaker.Spent())
	g.Breaker.Arrived(now, true)
	require.False(t, g.Breaker.Spent())
	require.Equal(t, scaler.Throttled, g.Breaker.Cause())
}

func TestBreakerForgets(t *testing.T) {
	for _, tt := range []struct {
		cause  scaler.Cause
		failed int
		alone  bool
		forget bool
	}{
		{scaler.Throttled, 1, true, true},
		{scaler.Throttled, 1, false, false},
		{scaler.Crashed, scaler.OpenAfter - 1, true, true},
		{scaler.Crashed, scaler.OpenAfter, true, false},
		{scaler.Denied, 1, true, false},
	} {
		g, now := guards(), epoch
		for range tt.failed {
			now = failOnce(g, now, tt.cause)
		}
		now = g.Breaker.Block().Until.Add(scaler.ForgetAfter)
		g.Breaker.Arrived(now, tt.alone)
		require.Equal(t, tt.cause, g.Breaker.Cause())
		g.Breaker.Arrived(now.Add(1), tt.alone)
		require.Equal(t, tt.forget, g.Breaker.Cause() == "", "%s", tt.cause)
	}
}

// An instance that ends makes room under a limit of concurrency, and under no other.
func TestBreakerDoesNotWaitWhereAnInstanceMadeRoom(t *testing.T) {
	for cause, frees := range map[scaler.Cause]bool{
		scaler.ThrottledReserved: true, scaler.ThrottledAccount: true,
		scaler.ThrottledRate: false, scaler.Crashed: false, scaler.Denied: false,
	} {
		g := guards()
		g.Breaker.Failed(epoch, cause, 0, false)
		g.Breaker.Freed(epoch)
		require.Equal(t, frees, room(g, epoch, 0) > 0, cause)
		require.Equal(t, cause, g.Breaker.Cause(), "not known to be gone")
	}
}

func TestAnOperatorClosesTheBreaker(t *testing.T) {
	for _, cause := range scaler.StartCauses {
		g, now := guards(), epoch
		for range 20 {
			now = failOnce(g, now, cause)
		}
		g.Breaker.Retry()
		require.Equal(t, budget, room(g, now, 0), cause)
		require.False(t, g.Breaker.Open())
	}
}
