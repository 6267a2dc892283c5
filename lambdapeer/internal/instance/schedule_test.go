package instance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Scenario 4: every timeout serves most of its time, drains before its end and leaves time to answer.
func TestScheduleForAnyTimeout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string, most int64) time.Duration {
			return time.Duration(rapid.Int64Range(0, most).Draw(t, name)) * time.Millisecond
		}
		now := time.Now()
		left := ms("left", 900_000)
		inv := wire.Invocation{DrainMargin: wire.Millis(ms("margin", 600_000)), DrainLimit: wire.Millis(ms("limit", 600_000))}
		s := newSchedule(inv, now.Add(left), now)
		require.GreaterOrEqual(t, s.drainAt.Sub(now), left*2/3)
		require.False(t, s.drainAt.After(s.cutAt))
		require.False(t, s.cutAt.After(now.Add(left)))
		require.False(t, s.drainAt.Add(s.drainFor(s.drainAt)).After(s.cutAt))
		if left >= 6*time.Second {
			require.Equal(t, time.Second, now.Add(left).Sub(s.cutAt))
		}
	})
}

func TestScheduleExamples(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct{ left, margin, drainIn time.Duration }{
		{3 * time.Second, 30 * time.Second, 2 * time.Second},
		{15 * time.Second, 3 * time.Second, 12 * time.Second},
		{900 * time.Second, 30 * time.Second, 870 * time.Second},
		{900 * time.Second, 0, 899 * time.Second},
		{-time.Second, time.Second, -time.Second},
	} {
		s := newSchedule(wire.Invocation{DrainMargin: wire.Millis(tt.margin)}, now.Add(tt.left), now)
		require.Equal(t, tt.drainIn, s.drainAt.Sub(now))
	}
	s := newSchedule(wire.Invocation{}, time.Time{}, now)
	require.Zero(t, s.drainAt)
	require.Equal(t, 30*time.Second, s.drainFor(now))
	require.Equal(t, 1500*time.Millisecond, s.dialTimeout)
}
