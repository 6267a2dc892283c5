package simulate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// learning are the settings of a function whose concurrency is learned.
func learning(seed uint64, app simulate.App) simulate.Settings {
	s := simulate.Defaults(64, seed)
	s.Pool.Learn, s.App = true, app
	s.Pool.QueueTimeout = 0
	s.Priced()
	return s
}

// What is not known yet is guessed: a crowd from nothing starts no environment for each request.
func TestACrowdMeetsAFirstGuess(t *testing.T) {
	seeds(t, "100", func(t *testing.T, seed uint64) {
		load := workload.Every("crowd", minute, minute, 100, 5*millisecond, workload.Fixed(100*millisecond)).Make(seed)
		r := run(t, load, learning(seed, simulate.App{}))
		require.LessOrEqual(t, r.ColdStarts, 13)
	})
}

// Learned concurrency ends at what an instance can do: at the cap where requests wait for others, at about as many as there are
// cores where they compute. Its bill stays within the bound that all preferences keep beside plain Lambda's, and its
// requests within twice the time that they take with the setting that somebody would have found by trying.
func TestConcurrencyIsLearned(t *testing.T) {
	for _, g := range []workload.Generator{
		workload.Steady("2/s", 10*minute, 2, workload.Lognormal(100*millisecond, 0.7)),
		workload.Steady("20/s", 10*minute, 20, workload.Lognormal(100*millisecond, 0.7)),
		workload.Steady("100/s", 4*minute, 100, workload.Lognormal(100*millisecond, 0.7)),
		workload.Pulses("bursts", 8*minute, 30*second, 10*second, 0, 100, workload.Exponential(300*millisecond)),
	} {
		for _, tt := range []struct {
			name       string
			app        simulate.App
			least, top int
			best       int
		}{
			{"waits for others", simulate.App{}, 16, 64, 64},
			{"computes 30 %", simulate.App{CPU: 0.3}, 4, 7, 4},
			{"computes on one core", simulate.App{CPU: 1}, 1, 2, 1},
			{"computes on two cores", simulate.App{CPU: 1, Cores: 2}, 2, 5, 2},
		} {
			t.Run(g.Name+", "+tt.name, func(t *testing.T) {
				load := g.Make(1)
				s := learning(1, tt.app)
				s.After = load.Horizon / 2
				r, plain := half(t, load, s), simulate.Plain(load, s)
				s.Pool.Learn, s.Pool.Concurrency = false, tt.best
				best := half(t, load, s)
				t.Logf("%d slots; $ over plain %.3f, with %d slots %.3f; p50 %v and %v", r.Learned, r.Dollars/plain.Dollars, tt.best,
					best.Dollars/plain.Dollars, simulate.Quantile(r.Latency, 0.5), simulate.Quantile(best.Latency, 0.5))
				start := float64(len(load.Requests)) * (18 * millisecond).Seconds() * s.Lambda.PerSecond()
				t.Logf("%.3f of plain Lambda with 18 ms a request", r.Dollars/(plain.Dollars+start))
				require.LessOrEqual(t, r.Dollars, 1.1*(plain.Dollars+start))
				if g.Name != "2/s" { // alone, they teach nothing, and need nothing
					require.GreaterOrEqual(t, r.Learned, tt.least)
					require.LessOrEqual(t, r.Learned, tt.top)
					require.LessOrEqual(t, simulate.Quantile(r.Latency, 0.5).Seconds(), 2*simulate.Quantile(best.Latency, 0.5).Seconds())
				}
			})
		}
	}
}

// half runs a workload of which only the second half is looked at.
func half(t *testing.T, load workload.Workload, s simulate.Settings) simulate.Result {
	t.Helper()
	r, err := simulate.Run(load, s)
	require.NoError(t, err)
	require.Zero(t, r.Lost())
	return r
}
