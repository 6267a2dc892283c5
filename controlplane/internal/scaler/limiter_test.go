package scaler_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// learned is where a limiter of at most 64 gets with an app whose requests take that long, depending on how many are on an
// instance. It returns the mean limit of the last half.
func learned(looks int, took func(among int) time.Duration) float64 {
	l, r := scaler.NewLimiter(64), rand.New(rand.NewPCG(1, 2))
	sum, n := 0.0, 0
	for k := range looks * 200 {
		among := l.Limit()
		l.Ended(l.Began(among), time.Duration(r.ExpFloat64()*float64(took(among))))
		if k > looks*100 {
			sum += float64(l.Limit())
			n++
		}
	}
	return sum / float64(n)
}

func TestLimiterFindsWhereRequestsSlowDown(t *testing.T) {
	const alone = 100 * time.Millisecond
	require.Greater(t, learned(100, func(int) time.Duration { return alone }), 55.0, "they wait for others")
	require.Less(t, learned(100, func(n int) time.Duration { return time.Duration(n) * alone }), 2.0, "they compute")
	mixed := learned(100, func(n int) time.Duration { return max(alone, time.Duration(n)*alone/4) })
	require.InDelta(t, 5.5, mixed, 1.5, "a quarter of the time they compute")
}

// An app that gets three times slower for other reasons is not mistaken for one that is overloaded.
func TestLimiterForgetsHowQuickTheAppWas(t *testing.T) {
	calls := 0
	require.Greater(t, learned(200, func(int) time.Duration {
		if calls++; calls < 10_000 {
			return 100 * time.Millisecond
		}
		return 300 * time.Millisecond
	}), 45.0)
}

func TestLimiterStaysWithinItsCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 20).Draw(t, "most")
		l := scaler.NewLimiter(most)
		var looks []uint64
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				for range 30 {
					looks = append(looks, l.Began(rapid.IntRange(1, most).Draw(t, "among")))
				}
			},
			"end": func(t *rapid.T) {
				took := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "took"))
				for _, look := range looks {
					l.Ended(look, took)
				}
				looks = nil
			},
			"": func(t *rapid.T) {
				require.GreaterOrEqual(t, l.Limit(), 1)
				require.LessOrEqual(t, l.Limit(), most)
			},
		})
	})
}
