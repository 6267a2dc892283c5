package function

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/account"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

func TestAnAliasRoutesByWeight(t *testing.T) {
	alias := Alias{Name: "live", Version: "1", Weights: map[string]float64{"2": 0.1, "3": 0.2}}
	random := rand.New(rand.NewPCG(1, 2))
	got := map[string]int{}
	const n = 100_000
	for range n {
		got[alias.pick(random.Float64())]++
	}
	for version, part := range map[string]float64{"1": 0.7, "2": 0.1, "3": 0.2} {
		require.InDelta(t, n*part, got[version], 5*math.Sqrt(n*part*(1-part)), version)
	}
	require.Equal(t, "1", Alias{Version: "1"}.pick(0))
	require.Equal(t, "2", Alias{Version: "1", Weights: map[string]float64{"2": 1}}.pick(math.Nextafter(1, 0)))
}

func TestNewEnvironmentsAreRationed(t *testing.T) {
	b := newBucket(1000)
	now := time.Now()
	take := func(n int) (got int) {
		for range n {
			if b.take(now) {
				got++
			}
		}
		return got
	}
	require.Equal(t, 1000, take(1500), "a full bucket")
	now = now.Add(time.Second)
	require.InDelta(t, 100, take(1500), 1, "a tenth of it in a second")
	now = now.Add(time.Hour)
	require.Equal(t, 1000, take(1500), "never more than full")
}

func newEvent() *event {
	cfg := Config{
		Events: Events{MaxAge: 6 * time.Hour, MaxRetries: 2, RetryDelay: time.Minute, ThrottleDelay: time.Second},
		Share:  account.New(1000).Join(nil),
	}
	return &event{f: New(cfg), accepted: time.Now()}
}

func TestAFunctionErrorIsRetriedTwice(t *testing.T) {
	e := newEvent()
	for _, want := range []time.Duration{time.Minute, 2 * time.Minute} {
		delay, drop := e.again(nil, e.accepted)
		require.Equal(t, want, delay)
		require.Empty(t, drop)
	}
	_, drop := e.again(nil, e.accepted)
	require.Equal(t, DropRetries, drop)
}

func TestAThrottledEventWaitsLongerEachTimeUntilItIsTooOld(t *testing.T) {
	e := newEvent()
	now := e.accepted
	var delays []time.Duration
	for {
		delay, drop := e.again(serviceerror.Throttled(serviceerror.ReasonAccountLimit), now)
		if drop != "" {
			require.Equal(t, DropAge, drop)
			break
		}
		delays = append(delays, delay)
		now = now.Add(delay)
	}
	for i := range 9 {
		require.Equal(t, time.Second<<i, delays[i])
	}
	require.Equal(t, 5*time.Minute, delays[9])
	require.Equal(t, 5*time.Minute, delays[len(delays)-1])
	require.InDelta(t, 6*time.Hour, now.Sub(e.accepted), float64(5*time.Minute))
	require.Zero(t, e.retries)
}

func TestWhichErrorsAreTemporary(t *testing.T) {
	require.True(t, temporary(serviceerror.Throttled(serviceerror.ReasonScalingRate)))
	require.True(t, temporary(serviceerror.New(serviceerror.TypeService, "x")))
	require.False(t, temporary(serviceerror.New(serviceerror.TypeAccessDenied, "x")))
	require.False(t, temporary(errors.New("x")))
	require.False(t, temporary(nil))
}
