package main

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func billed(ms int64, dollars float64) side {
	return side{Invocations: 10, BilledMs: ms, GBSeconds: float64(ms) / 1000, Dollars: dollars, Environments: 1}
}

// sample is a run in which a lone request costs 1 dollar a million, and a rate r times that.
func sample(rates ...float64) *report {
	r := &report{
		Origin: &lab.Origin{}, MemoryMB: 1024,
		Bills: []pair{{
			Workload: "sparse", About: "few", Requests: 10, Work: 0.5, Direct: billed(500, 5e-6), Through: billed(1000, 10e-6),
			Managed:  managed{Invocations: 10, Dollars: 92e-6, Instances: 3, InstanceSeconds: 3},
			Estimate: estimate{1, 10e-6, 0.5, 5e-6},
		}},
		Lone: lone{10, billed(530, 10e-6), billed(700, 13e-6)},
	}
	for n, times := range rates {
		r.Rates = append(r.Rates, rate{PerSecond: float64(10 * (n + 1)), Requests: 100, Dollars: times * 100e-6})
	}
	return r
}

func TestBreakEven(t *testing.T) {
	for name, tt := range map[string]struct {
		rates []float64
		want  float64
		found bool
	}{
		"in the middle":    {[]float64{3, 1.5, 0.5}, 20 + 10*10.0/(10+15), true},
		"where it is even": {[]float64{2, 1, 0.5}, 20, true},
		"always cheaper":   {[]float64{0.9, 0.5}, 0, false},
		"never":            {[]float64{9, 5}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			rate, found := sample(tt.rates...).breakEven()
			require.Equal(t, tt.found, found)
			require.InDelta(t, tt.want, rate, 1e-9)
		})
	}
}

// Three instances cost 90 millionths of a dollar a second: as much as 300 requests at half a millionth, of which a fee of 0.2 is the
// same on both.
func TestTheRateThatIsAsDearAsInstances(t *testing.T) {
	m := sample().Bills[0].Managed
	require.InDelta(t, 300, m.even(0.5e-6, lambdalocal.Prices{ManagedRequests: 0.2}), 1e-6)
}

func TestABillThatIsNotTheLedgersFails(t *testing.T) {
	r := sample()
	require.NoError(t, r.verdict())
	r.Bills[0].Estimate.GBSeconds *= 1.0011
	require.ErrorContains(t, r.verdict(), "sparse: the control plane counts 1.0011 GB-s, the ledger 1: 0.11 % off")
	r.Bills[0].Estimate.GBSeconds, r.Bills[0].Through.GBSeconds = 0, 0
	require.Error(t, r.verdict(), "nothing was billed, so nothing was measured")
}

func TestABusyMachineFails(t *testing.T) {
	r := sample()
	r.Bills[0].Work = 0.4
	require.ErrorContains(t, r.verdict(), "sparse: direct bills 1.25 times the requests' work")
}

func TestThePageHasEveryNumbersPlace(t *testing.T) {
	page := sample(3, 0.5).markdown("data.json")
	require.NotContains(t, page, "%!")
	require.Contains(t, page, "| **sparse**: few, 10 requests | direct | 10 | 0.500 | 1.00 | 0.00000500 | 0.50 | 1 |")
	require.Contains(t, page, "| | dispatched / direct | | **2.00** | | **2.00** |")
	require.Contains(t, page, "| | managed instances | 10 | | | 0.00009200 | 9.20 |")
	require.Contains(t, page, "| billed, mean | 53.0 ms | 70.0 ms | **1.32** | at most 2 |")
	require.Contains(t, page, "| 10 | 100 | 0 | 3.00 | 1.00 | 3.00 |")
	require.Contains(t, page, "about **17 requests/s**")
	require.Contains(t, sample(3, 2).markdown("data.json"), "not between these rates")
}

func TestWorkloadsAreTheSameEachTime(t *testing.T) {
	s, err := parse(nil, io.Discard)
	require.NoError(t, err)
	first, err := s.workloads()
	require.NoError(t, err)
	second, err := s.workloads()
	require.NoError(t, err)
	require.Equal(t, first, second)
	for n, about := range []struct {
		requests int
		length   time.Duration
	}{{30, 30 * time.Second}, {1000, 20 * time.Second}, {781, 37 * time.Second}} {
		require.InEpsilon(t, about.requests, len(first[n].Requests), 0.35, first[n].Name)
		require.InDelta(t, about.length.Seconds(), first[n].Horizon.Seconds(), 10)
	}
}

func TestAWorkloadWithoutRequestsIsAMistake(t *testing.T) {
	for args, want := range map[string]string{
		"-bursty=20s": "bursty: no request comes in so short a time",
		"-bursty=0s":  "-bursty: must be positive, got 0s",
		"-sparse=1ms": "sparse: no request comes in so short a time",
		"-rate=1ms":   "rate-2: no request comes in so short a time",
		"-factor=0":   "-factor: must be positive, got 0",
		"-factor=NaN": "-factor: must be positive, got NaN",
		"-lone=0":     "-lone: must be positive, got 0",
	} {
		_, err := parse([]string{args}, io.Discard)
		require.ErrorContains(t, err, want, args)
	}
	_, err := parse(nil, io.Discard)
	require.NoError(t, err)
}
