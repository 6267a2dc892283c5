package simulate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// beaten replays a workload of crowds with the policy, and with one that foresees none.
func beaten(t *testing.T, load workload.Workload, seed uint64) (with, without simulate.Result) {
	t.Helper()
	s := simulate.Defaults(10, seed)
	s.Priced()
	with = half(t, load, s)
	tuning := scaler.Balanced.Tuning()
	tuning.Foresee = 0
	s.Pool.Scaling.Policy = scaler.Frugal(tuning)
	without = half(t, load, s)
	t.Logf("bill %.3f times; waits p50 %v p99 %v, without %v %v", with.Dollars/without.Dollars,
		with.Settled.Quantile(0.5), with.Settled.Quantile(0.99), without.Settled.Quantile(0.5), without.Settled.Quantile(0.99))
	return with, without
}

// Crowds at a beat are foreseen once three of them have come: the next ones find their instances up, for a little more.
func TestCrowdsAtABeatAreMet(t *testing.T) {
	for _, tt := range []struct {
		every   time.Duration
		n       int
		within  time.Duration
		service workload.Service
	}{
		{second, 60, 20 * millisecond, workload.Fixed(400 * millisecond)},
		{3 * second, 60, 20 * millisecond, workload.Fixed(400 * millisecond)},
		{minute, 400, 200 * millisecond, workload.Fixed(200 * millisecond)},
		{minute, 400, 200 * millisecond, workload.Lognormal(700*millisecond, 0.6)},
	} {
		seeds(t, fmt.Sprint(tt.n, " each ", tt.every), func(t *testing.T, seed uint64) {
			load := workload.Every("beat", 20*tt.every+5*minute, tt.every, tt.n, tt.within, tt.service).Make(seed)
			with, without := beaten(t, load, seed)
			require.LessOrEqual(t, with.Dollars, 1.045*without.Dollars)
			require.Zero(t, with.Settled.Quantile(0.5))
			require.LessOrEqual(t, with.Settled.Quantile(0.99), 12*millisecond)
		})
	}
}

// What is no beat is not foreseen, and neither are crowds so short that being early would cost a tenth of their bill.
func TestWhatIsNoBeatCostsNothing(t *testing.T) {
	for name, g := range map[string]workload.Generator{
		"steady":     workload.Steady("steady", 3*minute, 100, workload.Exponential(300*millisecond)),
		"at random":  workload.Switching("bursts", 10*minute, []float64{1, 300}, []time.Duration{10 * second, second / 4}, workload.Fixed(300*millisecond)),
		"very short": workload.Every("short", 15*minute, 30*second, 100, 5*millisecond, workload.Fixed(50*millisecond)),
	} {
		seeds(t, name, func(t *testing.T, seed uint64) {
			with, without := beaten(t, g.Make(seed), seed)
			require.LessOrEqual(t, with.Dollars, 1.005*without.Dollars)
		})
	}
}

// A beat that ends costs what was started for one crowd that does not come.
func TestABeatThatEndsIsForgotten(t *testing.T) {
	crowds := workload.Every("", 5*minute, 10*second, 60, 20*millisecond, workload.Fixed(400*millisecond))
	load := workload.Beside("ends", crowds, workload.Steady("", 30*minute, 0.2, workload.Fixed(50*millisecond))).Make(1)
	with, without := beaten(t, load, 1)
	require.LessOrEqual(t, with.Dollars, 1.04*without.Dollars)
}
