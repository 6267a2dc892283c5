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

// lastLease is when an instance that has that long to run gets its last request, at the latest.
func (p plan) lastLease(timeout time.Duration) time.Duration {
	margin := p.settings.Margin.Of(timeout)
	return timeout - margin - margin/8
}

// Scenario 4: whatever the function's timeout, instances serve for a good part of it.
func TestEveryTimeoutLeavesTimeToServe(t *testing.T) {
	for _, seconds := range []int{1, 3, 15, 60, 900} {
		timeout := time.Duration(seconds) * time.Second
		for _, total := range []time.Duration{0, timeout / 10, timeout / 2, timeout, time.Hour} {
			t.Run(fmt.Sprint(timeout, total), func(t *testing.T) {
				p := planned(timeout, total)
				require.GreaterOrEqual(t, p.lastLease(timeout), timeout/4)
				require.Less(t, p.lastLease(timeout), timeout-p.drainMargin, "before the peer drains by itself")
			})
		}
	}
	require.Equal(t, 900*time.Second-122*time.Second*9/8, planned(900*time.Second, 0).lastLease(900*time.Second))
}

// Scenario 4: a request that is let in at the last moment, and takes as long as it may, ends before anybody cuts it.
func TestTheLongestAllowedRequestEndsInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeout := time.Duration(rapid.IntRange(1, 900).Draw(t, "timeout")) * time.Second
		total := time.Duration(rapid.Int64Range(1, int64(timeout/2)).Draw(t, "total"))
		p := planned(timeout, total)
		require.LessOrEqual(t, p.lastLease(timeout)+total, timeout-cutBefore(timeout))
		require.LessOrEqual(t, total, p.settings.DrainTimeout-time.Second, "what a drain may take when the control plane stops")
	})
}

// Peers let what is in flight go on until their invocation's deadline. One without a deadline has its drain bounded.
func TestPeersDrainUntilTheDeadline(t *testing.T) {
	for _, seconds := range []int{1, 3, 15, 60, 900} {
		timeout := time.Duration(seconds) * time.Second
		require.Equal(t, timeout, planned(timeout, 0).drainLimit)
	}
	cfg := config.DefaultFunction()
	cfg.Name, cfg.Provider = "web", config.ProviderStatic
	cfg.Scaling.DrainTimeout = 10 * time.Second
	require.Equal(t, 10*time.Second, planFor(cfg, config.Default().Pricing).drainLimit)
}

// Whoever lets requests take longer at the end has them counted on at rotation, too.
func TestALongDrainTimeoutIsALongMargin(t *testing.T) {
	cfg := config.DefaultFunction()
	cfg.Name = "web"
	cfg.Scaling.DrainTimeout = 4 * time.Minute
	p := planFor(cfg, config.Default().Pricing)
	require.Greater(t, p.drainMargin, 4*time.Minute)
	require.Less(t, p.lastLease(cfg.Lambda.Timeout), cfg.Lambda.Timeout-4*time.Minute)
}
