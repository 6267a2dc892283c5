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
// instance. It returns the limits after each 200 requests.
func learned(looks int, took func(among int) time.Duration) []int {
	l, r, now := scaler.NewLimiter(64), rand.New(rand.NewPCG(1, 2)), time.Unix(1_000_000, 0)
	var limits []int
	for range looks {
		for k := range 200 {
			among, single := l.Limit(), false
			if l.Asks() && k%2 == 0 {
				among, single = 1, true
			}
			now = now.Add(10 * time.Millisecond)
			l.Ended(now, l.Began(now, among, single), time.Duration(r.ExpFloat64()*float64(took(among))))
		}
		limits = append(limits, l.Limit())
	}
	return limits
}

func mean(limits []int) float64 {
	sum := 0.0
	for _, l := range limits {
		sum += float64(l)
	}
	return sum / float64(len(limits))
}

func TestLimiterFindsWhereRequestsSlowDown(t *testing.T) {
	const alone = 100 * time.Millisecond
	for _, tt := range []struct {
		name       string
		takes      func(int) time.Duration
		within     int // looks
		least, top float64
	}{
		{"they wait for others", func(int) time.Duration { return alone }, 6, 60, 64},
		{"they compute", func(n int) time.Duration { return time.Duration(n) * alone }, 4, 1, 1.1},
		{"they compute on two cores", func(n int) time.Duration { return max(alone, time.Duration(n)*alone/2) }, 4, 2, 3.3},
		{"a quarter of the time they compute", func(n int) time.Duration { return max(alone, time.Duration(n)*alone/4) }, 4, 4, 7},
	} {
		limits := learned(400, tt.takes)
		t.Log(tt.name, limits[:20], limits[380:])
		require.InDelta(t, (tt.least+tt.top)/2, mean(limits[tt.within:]), (tt.top-tt.least)/2, tt.name)
	}
}

// An app that gets three times slower for other reasons is not mistaken for one that is overloaded.
func TestLimiterForgetsHowQuickTheAppWas(t *testing.T) {
	calls := 0
	limits := learned(200, func(int) time.Duration {
		if calls++; calls < 10_000 {
			return 100 * time.Millisecond
		}
		return 300 * time.Millisecond
	})
	require.Greater(t, mean(limits[50:]), 60.0)
}

// A few requests that do not end, and others whose end tells nothing, do not keep a limiter from learning.
func TestLimiterLearnsBesideStreams(t *testing.T) {
	l, r, now := scaler.NewLimiter(64), rand.New(rand.NewPCG(1, 2)), time.Unix(1_000_000, 0)
	for range 2000 {
		now = now.Add(100 * time.Millisecond)
		single := l.Asks()
		among := l.Limit()
		if single {
			among = 1
		}
		number := l.Began(now, among, single)
		switch r.IntN(50) {
		case 0: // a stream
		case 1, 2, 3, 4, 5:
			l.Void(number)
		default:
			l.Ended(now, number, time.Duration(among)*time.Second)
		}
	}
	require.Less(t, l.Limit(), scaler.FirstSlots)
}

func TestLimiterStaysWithinItsCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 20).Draw(t, "most")
		l, now := scaler.NewLimiter(most), time.Unix(1_000_000, 0)
		var looks []uint64
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				for range 30 {
					looks = append(looks, l.Began(now, rapid.IntRange(1, most).Draw(t, "among"), rapid.Bool().Draw(t, "single")))
				}
			},
			"end": func(t *rapid.T) {
				took := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "took"))
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "later")))
				for k, look := range looks {
					if k%9 == 8 {
						l.Void(look)
					} else {
						l.Ended(now, look, took)
					}
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
