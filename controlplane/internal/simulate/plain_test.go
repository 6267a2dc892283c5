package simulate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
)

// Plain Lambda makes one invocation for each request, bills its time and its init, and lets it wait for the start.
func TestPlainLambdaInvokesOncePerRequest(t *testing.T) {
	load := bursts(1)
	s := simulate.Defaults(1, 1)
	r := simulate.Plain(load, s)
	require.Equal(t, len(load.Requests), r.Bill.Invocations)
	require.Equal(t, len(load.Requests), r.ColdStarts+r.WarmStarts)
	require.Equal(t, len(load.Requests), len(r.Latency))
	require.Zero(t, r.Lost())
	require.Greater(t, r.Bill.Billed, load.Work())
	require.Less(t, r.Bill.Billed, load.Work()+seconds(2*float64(r.ColdStarts)+0.001*float64(r.Requests)))
	require.GreaterOrEqual(t, r.ColdStarts, load.Most(1), "as many environments as requests at once")

	s.Lambda.Concurrency = 20
	r = simulate.Plain(load, s)
	require.Positive(t, r.Rejected, "Lambda throttles what exceeds the account's concurrency")
	require.Equal(t, len(load.Requests), len(r.Latency)+r.Lost())

	s = simulate.Defaults(1, 1)
	s.Lambda.Timeout = second / 2
	r = simulate.Plain(load, s)
	require.InDelta(t, 0.6, float64(r.Failed)/float64(r.Requests), 0.05, "those that take longer than an invocation may")
	require.Equal(t, len(load.Requests), len(r.Latency)+r.Lost())
}
