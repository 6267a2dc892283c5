package scaler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

var epoch = time.Unix(1_000_000, 0)

func TestTheTightestGuardIsNamed(t *testing.T) {
	s := scaler.Settings{Max: 8, StartsInProgress: 5, StartsPerSecond: 1, StartsBurst: 3}
	for _, tt := range []struct {
		name  string
		load  scaler.Load
		taken int
		room  int
		why   scaler.Reason
	}{
		{"fresh", scaler.Load{}, 0, 3, scaler.Rate},
		{"in progress", scaler.Load{Live: 3, Starting: 3}, 0, 2, scaler.InProgress},
		{"max", scaler.Load{Live: 8}, 0, 0, scaler.AtMax},
		{"surge", scaler.Load{Live: 8, Rotating: 8}, 0, 2, scaler.AtMax},
		{"above max", scaler.Load{Live: 20}, 0, 0, scaler.AtMax},
		{"bucket", scaler.Load{}, 3, 0, scaler.Rate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := scaler.NewGuards(s, 1)
			g.Take(epoch, scaler.Load{}, tt.taken)
			room, block := g.Room(epoch, tt.load)
			require.Equal(t, tt.room, room)
			require.Equal(t, tt.why, block.Reason)
			if tt.why == scaler.Rate && room == 0 {
				require.Equal(t, epoch.Add(time.Second), block.Until)
			}
		})
	}
}

func TestGuardsThatNeverStart(t *testing.T) {
	for _, s := range []scaler.Settings{
		{StartsInProgress: 1, StartsBurst: 1},
		{Max: 1, StartsBurst: 1},
		{Max: 1, StartsInProgress: 1},
	} {
		room, block := scaler.NewGuards(s, 1).Room(epoch, scaler.Load{})
		require.Zero(t, room)
		require.Equal(t, scaler.Block{Reason: scaler.Never}, block)
	}
}

func TestBackoffIsNamedBeforeTheRest(t *testing.T) {
	g := scaler.NewGuards(scaler.Settings{Max: 1, StartsInProgress: 1, StartsBurst: 1}, 1)
	g.Take(epoch, scaler.Load{}, 1)
	g.Breaker.Failed(epoch, scaler.Crashed, 0, false)
	_, block := g.Room(epoch, scaler.Load{Live: 1, Starting: 1})
	require.Equal(t, scaler.Backoff, block.Reason)
	require.Equal(t, scaler.Crashed, block.Cause)
	require.True(t, block.Until.After(epoch))
}

func TestUnknownCauses(t *testing.T) {
	require.Equal(t, scaler.Unknown, scaler.StartCause(""))
	require.Equal(t, scaler.Unknown, scaler.StartCause("quota"))
	require.Equal(t, scaler.Throttled, scaler.StartCause("throttled"))
}

func TestTakeSaysWhatWithholdsTheRest(t *testing.T) {
	s := scaler.Settings{Max: 8, StartsInProgress: 5, StartsPerSecond: 1, StartsBurst: 3}
	g := scaler.NewGuards(s, 1)
	n, block := g.Take(epoch, scaler.Load{}, 2)
	require.Equal(t, 2, n)
	require.Equal(t, scaler.Block{}, block)
	n, block = g.Take(epoch, scaler.Load{Live: 2, Starting: 2}, 9)
	require.Equal(t, 1, n)
	require.Equal(t, scaler.Block{Reason: scaler.Rate, Until: epoch.Add(time.Second)}, block)
}

// Starts in environments that are there have a bucket of their own, as large as what exists, which fills within a second. New
// environments are bounded as ever.
func TestWarmStartsHaveABucketOfTheirOwn(t *testing.T) {
	s := scaler.Settings{Max: 1000, StartsInProgress: 5, StartsPerSecond: 1, StartsBurst: 3}
	g := scaler.NewGuards(s, 1)
	n, block := g.Take(epoch, scaler.Load{Spare: 500}, 600)
	require.Equal(t, 503, n)
	require.Equal(t, scaler.Rate, block.Reason)
	n, _ = g.Take(epoch, scaler.Load{Live: 503, Starting: 503, Claimed: 500}, 10)
	require.Zero(t, n)
	taken := 0
	for ms := range 10_000 {
		n, _ = g.Take(epoch.Add(time.Duration(ms)*time.Millisecond), scaler.Load{Spare: 500}, 500)
		taken += n
	}
	require.InDelta(t, 10*500+10, taken, 10, "an environment that ends as soon as it starts")
}
