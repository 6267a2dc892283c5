package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// cutBefore is how long before the deadline peers cut what is left, to answer their invocation (package instance).
func cutBefore(timeout time.Duration) time.Duration { return min(time.Second, timeout/6) }

func planned(timeout, total time.Duration) plan {
	cfg := config.DefaultFunction()
	cfg.Name = "web"
	cfg.Lambda.Timeout, cfg.Timeouts.Total = timeout, total
	return planFor(cfg, config.Default().Pricing)
}

// Scenario 4: whatever the function's timeout, instances serve for a good part of it.
func TestEveryTimeoutLeavesTimeToServe(t *testing.T) {
	for _, seconds := range []int{1, 3, 15, 60, 900} {
		timeout := time.Duration(seconds) * time.Second
		for _, total := range []time.Duration{0, timeout / 10, timeout / 2, timeout, time.Hour} {
			t.Run(fmt.Sprint(timeout, total), func(t *testing.T) {
				p := planned(timeout, total)
				require.GreaterOrEqual(t, p.settings.Lifetime, timeout/4)
				require.Less(t, p.settings.Lifetime, timeout-p.drainMargin, "before the peer drains by itself")
			})
		}
	}
	require.Equal(t, 900*time.Second-31*time.Second*9/8, planned(900*time.Second, 0).settings.Lifetime)
}

// Scenario 4: a request that is let in at the last moment, and takes as long as it may, ends before anybody cuts it.
func TestTheLongestAllowedRequestEndsInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeout := time.Duration(rapid.IntRange(1, 900).Draw(t, "timeout")) * time.Second
		total := time.Duration(rapid.Int64Range(1, int64(timeout/2)).Draw(t, "total"))
		p := planned(timeout, total)
		require.LessOrEqual(t, p.settings.Lifetime+total, timeout-cutBefore(timeout))
		require.LessOrEqual(t, total, p.settings.DrainTimeout-time.Second, "what a drain may take")
	})
}

// A function that was given less than its timeout, because its app came up late, has a shorter life, not none.
func TestALateAppStillServes(t *testing.T) {
	cfg := config.DefaultFunction()
	cfg.Lambda.Timeout = 15 * time.Second
	for left := 100 * time.Millisecond; left <= cfg.Lambda.Timeout; left += 100 * time.Millisecond {
		require.GreaterOrEqual(t, lifetime(cfg, left), left/2)
		require.Less(t, lifetime(cfg, left), left)
	}
}
