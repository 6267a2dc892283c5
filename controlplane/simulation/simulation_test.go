package simulation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

const memoryMB = 1024

// steps are those of a function whose peer is a millisecond from its relay.
func steps() simulation.Steps {
	return simulation.Steps{
		Place: simulation.Spread{Median: 200 * time.Millisecond, Sigma: 0.4}, Init: simulation.Spread{Median: 100 * time.Millisecond},
		Thaw: simulation.Spread{Median: 10 * time.Millisecond}, Dial: simulation.Spread{Median: 10 * time.Millisecond, Sigma: 0.3},
		Finish: simulation.Spread{Median: 8 * time.Millisecond},
	}
}

// A request of 50 ms to a stopped function with a warm environment bills at most twice what it bills with an environment of
// its own. The first ones, from which the policy learns, are few.
func TestALoneRequestBillsAtMostTwice(t *testing.T) {
	const service = 50 * time.Millisecond
	w := simulation.Constant("lone", 10*time.Minute, 1, service)
	p, err := simulation.Predict(w, steps(), memoryMB, 5, nil)
	require.NoError(t, err)
	direct := float64(len(w.Requests)) * service.Seconds()
	require.LessOrEqual(t, p.GBSeconds, 2*direct)
	require.Greater(t, p.GBSeconds, direct)
	require.InDelta(t, len(w.Requests), p.Starts, 20, "each request found no instance")
	require.Greater(t, p.Waited, 0.95)
}

func TestAPredictionIsThatOfTheRequests(t *testing.T) {
	w, err := simulation.Trace("azllm_code-twin", 20*time.Minute, 2*time.Minute, 4)
	require.NoError(t, err)
	p, err := simulation.Predict(w, steps(), memoryMB, 5, nil)
	require.NoError(t, err)
	require.Greater(t, p.GBSeconds, w.Bound(10).Seconds(), "of 1 GB")
	require.Less(t, p.GBSeconds, w.Work().Seconds())
	require.LessOrEqual(t, p.P50, p.P95)
	require.LessOrEqual(t, p.P95, p.P99)
	require.GreaterOrEqual(t, p.Starts, p.Environments)
	require.Positive(t, p.Dollars)
}

// A client that sees each way take 3 ms longer or shorter than it thinks sees waits where there are none.
func TestJitterIsPartOfWhatClientsSee(t *testing.T) {
	w := simulation.Poisson("busy", time.Minute, 50, 200*time.Millisecond, 1)
	exact, err := simulation.Predict(w, steps(), memoryMB, 2, nil)
	require.NoError(t, err)
	require.Zero(t, exact.P50)
	shaken, err := simulation.Predict(w, steps(), memoryMB, 2, []time.Duration{-3 * time.Millisecond, 3 * time.Millisecond})
	require.NoError(t, err)
	require.InDelta(t, 3*time.Millisecond, shaken.P95, float64(exact.P95)+float64(time.Millisecond))
	require.GreaterOrEqual(t, shaken.P95, 3*time.Millisecond)
	require.Equal(t, exact.GBSeconds, shaken.GBSeconds)
	require.Equal(t, exact.Waited, shaken.Waited)
}

func TestAnUnknownTraceIsAnError(t *testing.T) {
	_, err := simulation.Trace("nowhere", 0, time.Minute, 1)
	require.ErrorContains(t, err, "there are azllm_code-twin")
}
