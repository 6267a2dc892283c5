package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

const ms = time.Millisecond

func TestWaitsLeaveOutServiceAndPath(t *testing.T) {
	w := simulation.Workload{Requests: []simulation.Request{{Service: 20 * ms}, {Service: 10*ms + 400*time.Microsecond}, {Service: 30 * ms}}}
	answers := []arrivals.Answer{{Took: 37 * ms, Late: 5 * ms}, {Took: 12 * ms}, {Took: 31 * ms}}
	require.Equal(t, []time.Duration{0, 0, 10 * ms}, steps{Path: 2 * ms}.waits(w, answers), "the app sleeps whole milliseconds; what was sent late did not wait")
}

func TestASpreadHasItsQuantiles(t *testing.T) {
	var sorted []time.Duration
	for range 50 {
		sorted = append(sorted, 10*ms)
	}
	for range 50 {
		sorted = append(sorted, 20*ms)
	}
	s := spreadOf(sorted)
	require.Equal(t, 20*ms, s.Median)
	require.Zero(t, s.Sigma)
	s = spreadOf(append([]time.Duration{10 * ms}, sorted...))
	require.Equal(t, 10*ms, s.Median)
	require.InDelta(t, 0.54, s.Sigma, 0.01, "ln 2 in 1.28 deviations")
	require.Zero(t, spreadOf([]time.Duration{0, 0}))
}

func TestTooFarFromRealityFails(t *testing.T) {
	p := simulation.Prediction{GBSeconds: 100, Dollars: 1, Starts: 50, Environments: 5, Waited: 0.1, P95: 20 * ms, P99: 30 * ms}
	r := report{Origin: &lab.Origin{}, Reality: p, Simulated: p}
	require.NoError(t, r.verdict())
	page := r.markdown("data.json")
	require.NotContains(t, page, "%!")
	require.Contains(t, page, "| GB-s | 100.0 | 100.0 | **+0.0 %** | 10 % |")
	require.Contains(t, page, "| wait, p50 (ms) | 0.0 | 0.0 |  |  |", "nothing is no part of nothing")

	r.Simulated.Starts, r.Simulated.P95 = 56, 16*ms
	require.ErrorContains(t, r.verdict(), "instances started: simulated 56.000, measured 50.000: 12 % off, more than 10 %")
	require.ErrorContains(t, r.verdict(), "wait, p95 (ms): simulated 16.000, measured 20.000: 20 % off, more than 15 %")
	require.NotContains(t, r.verdict().Error(), "GB-s")

	r.Simulated, r.Late = p, 6*ms
	require.EqualError(t, r.verdict(), "the machine is too busy: requests were sent up to 6.0 ms late")
}
