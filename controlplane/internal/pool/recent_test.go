package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Simulations begin when they like, and a machine's clock may not be set.
func TestRecentAtAnyTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.SampledFrom([]time.Time{
			{}, time.Unix(0, 0), time.Unix(0, 1), time.Unix(-1, 0), time.Unix(1_000_000, 0), time.Unix(1<<40, 0),
		}).Draw(t, "begin")
		began, level := now, 0
		var r recent
		r.reset(now, 0)
		most := 0
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "ms")) * time.Millisecond)
			level = rapid.IntRange(0, 10).Draw(t, "level")
			most = max(most, level)
			r.set(now, level)
			require.GreaterOrEqual(t, r.most(now, now), level)
		}
		require.Equal(t, most, r.most(now, began))
	})
}
