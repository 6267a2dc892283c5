package scaler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

const most = 10 * time.Minute

var dawn = time.Unix(1_000_000, 0)

func TestATailExpectsWhatItHasSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tail scaler.Tail
		longest := time.Duration(0)
		for _, ms := range rapid.SliceOf(rapid.IntRange(1, 1_000_000)).Draw(t, "ms") {
			took := time.Duration(ms) * time.Millisecond
			if took > most {
				took *= 2 // what is hardly too long may count
			} else {
				longest = max(longest, took)
			}
			tail.Ended(dawn, took)
		}
		expect := tail.Expect(dawn, 0, most)
		require.LessOrEqual(t, expect, most)
		if longest < time.Second {
			require.Zero(t, expect, "too short to matter")
			return
		}
		require.GreaterOrEqual(t, expect, longest)
		require.LessOrEqual(t, expect, longest*12/10, "no more than a little above")
	})
}

func TestATailForgets(t *testing.T) {
	var tail scaler.Tail
	require.True(t, tail.Ended(dawn, 4*time.Minute))
	require.False(t, tail.Ended(dawn.Add(time.Hour), 3*time.Minute))
	require.True(t, tail.Ended(dawn.Add(time.Hour), 5*time.Minute))
	require.GreaterOrEqual(t, tail.Expect(dawn.Add(2*time.Hour), 0, most), 5*time.Minute)
	require.Zero(t, tail.Expect(dawn.Add(5*time.Hour), 0, most))
}

// What is in flight is longer than anything seen, so nobody knows how long it will be.
func TestATailExtrapolatesOnlyWhatIsUnknown(t *testing.T) {
	var tail scaler.Tail
	require.Greater(t, tail.Expect(dawn, 2*time.Minute, most), 4*time.Minute)
	require.Equal(t, most, tail.Expect(dawn, 9*time.Minute, most))
	tail.Ended(dawn, 3*time.Minute)
	require.Less(t, tail.Expect(dawn, 2*time.Minute, most), 4*time.Minute, "as long as others were")
	require.Greater(t, tail.Expect(dawn, 4*time.Minute, most), 8*time.Minute)
	tail.Cut(dawn)
	require.Less(t, tail.Expect(dawn, 4*time.Minute, most), 4*time.Minute, "one that ends with its instance")
}
