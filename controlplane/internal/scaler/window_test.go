package scaler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func TestWindowForgets(t *testing.T) {
	w := scaler.NewWindow(7 * time.Second)
	w.Observe(epoch, 10)
	w.Observe(epoch.Add(100*time.Millisecond), 3)
	require.Equal(t, 10, w.Peak(epoch.Add(7*time.Second)))
	require.Equal(t, 3, w.Peak(epoch.Add(8100*time.Millisecond)), "the level holds without an observation")
	require.Equal(t, 3, w.Peak(epoch.Add(time.Hour)))
}

// The peak lies between the true maximum over one span and the one over 8/7 of it.
func TestWindowBounds(t *testing.T) {
	type sample struct {
		at    time.Time
		level int
	}
	rapid.Check(t, func(t *rapid.T) {
		span := time.Duration(rapid.IntRange(70, 10_000).Draw(t, "span")) * time.Millisecond
		w := scaler.NewWindow(span)
		now := epoch
		samples := []sample{{now, 0}}
		w.Observe(now, 0)
		// since is the maximum of the level from a time to now.
		since := func(from time.Time) int {
			peak := samples[len(samples)-1].level
			for k, s := range samples[:len(samples)-1] {
				if samples[k+1].at.After(from) {
					peak = max(peak, s.level)
				}
			}
			return peak
		}
		for range 60 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(span)/3).Draw(t, "pass")))
			require.GreaterOrEqual(t, w.Peak(now), since(now.Add(-span)))
			require.LessOrEqual(t, w.Peak(now), since(now.Add(-span*8/7-time.Millisecond)))
			require.True(t, w.Boundary().After(now))
			level := rapid.IntRange(0, 20).Draw(t, "level")
			w.Observe(now, level)
			samples = append(samples, sample{now, level})
		}
	})
}
