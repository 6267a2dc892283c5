package simulate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

const second = time.Second

func run(t *testing.T, load workload.Workload, s simulate.Settings) simulate.Result {
	t.Helper()
	r, err := simulate.Run(load, s)
	require.NoError(t, err)
	require.Equal(t, len(load.Requests), r.Requests, "every request came")
	require.Equal(t, r.Requests, len(r.Latency)+r.Failed+r.Evicted+r.Rejected, "every request ended once")
	return r
}

func bursts(seed uint64) workload.Workload {
	return workload.Switching("bursts", 300*second, []float64{5, 100}, []time.Duration{10 * second, 5 * second},
		workload.Exponential(second)).Make(seed)
}

func TestTheSameSeedGivesTheSameResult(t *testing.T) {
	s := simulate.Defaults(10, 7)
	s.Samples = 50
	s.Crashes = 30 * second
	first := run(t, bursts(1), s)
	require.Equal(t, first, run(t, bursts(1), s))
	s.Lambda.Seed = 8
	require.NotEqual(t, first, run(t, bursts(1), s))
}

// One request on an empty pool costs exactly a cold start, its own time, and the idle time until the drain.
func TestOneRequest(t *testing.T) {
	load := workload.Workload{Requests: []workload.Request{{At: second, Service: second}}, Horizon: 2 * second}
	s := simulate.Defaults(10, 1)
	s.Pool.Scaling.Preference = scaler.Cost
	s.Until = minute // before its environment is renewed
	r := run(t, load, s)
	require.Equal(t, 1, r.ColdStarts)
	require.Equal(t, 1, r.All.Cold)
	wait := r.All.Quantile(1)
	require.Greater(t, wait, 300*time.Millisecond)
	require.Equal(t, wait+second, r.Latency[0])
	require.Equal(t, second, r.Bound)
	require.Equal(t, second, r.Work)
	require.Greater(t, r.Bill.Billed, second)
	require.Equal(t, 1, r.Bill.Invocations)
}

// Requests that compute share the processor: two at once take twice as long, and waiting does not slow anybody down.
func TestProcessorSharing(t *testing.T) {
	warm := workload.Request{At: 0, Service: 10 * second}
	pair := func(cpu float64) []time.Duration {
		s := simulate.Defaults(10, 1)
		s.Pool.Scaling.Min, s.Pool.Scaling.Max = 1, 1
		s.App = simulate.App{CPU: cpu, Cores: 1}
		load := workload.Workload{Requests: []workload.Request{
			warm, {At: 20 * second, Service: second}, {At: 20 * second, Service: second}, {At: 20*second + 500*time.Millisecond, Service: second},
		}, Horizon: 24 * second}
		s.Until = 60 * second
		return run(t, load, s).Latency[:3]
	}
	for k, want := range []time.Duration{second, second, second} {
		require.InDelta(t, want, pair(0)[k], float64(time.Millisecond))
	}
	// The first two have half of it for 0.5 s, then all three a third until the two are done; the last has 0.25 s to go.
	for k, want := range []time.Duration{2500 * time.Millisecond, 2750 * time.Millisecond, 2750 * time.Millisecond} {
		require.InDelta(t, want, pair(1)[k], float64(time.Millisecond))
	}
	for k, want := range []time.Duration{1 * second, 1 * second, 1 * second} {
		require.InDelta(t, want, pair(0.2)[k], float64(250*time.Millisecond))
	}
}

// Whatever fails, starts stay within the guards, which are checked at every event, and requests end.
func TestFailures(t *testing.T) {
	for name, change := range map[string]func(*simulate.Settings){
		"crashes":     func(s *simulate.Settings) { s.Crashes = 5 * second },
		"bad init":    func(s *simulate.Settings) { s.Lambda.InitFails = 0.5 },
		"no init":     func(s *simulate.Settings) { s.Lambda.InitFails = 1 },
		"lost":        func(s *simulate.Settings) { s.Lambda.DialFails = 0.3 },
		"throttled":   func(s *simulate.Settings) { s.Lambda.Concurrency = 5 },
		"few new":     func(s *simulate.Settings) { s.Lambda.NewPer10s = 3 },
		"small queue": func(s *simulate.Settings) { s.Pool.QueueLimit = 20 },
		"all": func(s *simulate.Settings) {
			s.Crashes, s.Lambda.InitFails, s.Lambda.DialFails, s.Lambda.Concurrency = 5*second, 0.2, 0.1, 15
		},
		"short lives": func(s *simulate.Settings) { s.Lambda.Timeout = 15 * second },
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate.Defaults(10, 3)
			s.Pool.Scaling.StartsInProgress, s.Pool.Scaling.Max = 20, 30
			change(&s)
			r := run(t, bursts(2), s)
			allowed := float64(s.Pool.Scaling.StartsBurst) + 600*s.Pool.Scaling.StartsPerSecond
			require.LessOrEqual(t, float64(r.Invoked), allowed)
		})
	}
}

// A database that takes so many connections must not see more environments, whatever comes: bursts, rotation, crashes.
func TestEnvironmentsAreBounded(t *testing.T) {
	for name, change := range map[string]func(*simulate.Settings){
		"bursts":      func(*simulate.Settings) {},
		"short lives": func(s *simulate.Settings) { s.Lambda.Timeout, s.Pool.Lifetime = 15*second, 15*second },
		"crashes":     func(s *simulate.Settings) { s.Crashes = 20 * second },
		"expiry":      func(s *simulate.Settings) { s.Lambda.IdleLeast, s.Lambda.IdleMost = second, 20*second },
		"a minimum":   func(s *simulate.Settings) { s.Pool.Scaling.Min, s.Until = 3, 600*second },
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate.Defaults(10, 3)
			s.Pool.Scaling.Max = 50
			change(&s)
			require.Greater(t, run(t, bursts(2), s).Environments, 6, "without a bound, or this test shows nothing")
			s.Pool.Scaling.Environments = 6
			r := run(t, bursts(2), s)
			require.LessOrEqual(t, r.Environments, 6)
			require.Greater(t, len(r.Latency), r.Requests*9/10, "it still serves")
		})
	}
}

func TestSamplesCoverTheRun(t *testing.T) {
	s := simulate.Defaults(10, 1)
	s.Samples = 100
	r := run(t, bursts(1), s)
	require.InDelta(t, 100, len(r.Series), 10)
	arrivals, most := 0, 0
	for _, sample := range r.Series {
		arrivals += sample.Arrivals
		most = max(most, sample.InFlight)
	}
	require.InDelta(t, r.Requests, arrivals, 200)
	require.Greater(t, most, 50)
}

// BenchmarkRun reports requests per second of one core, on 10,000 instances and on few.
func BenchmarkRun(b *testing.B) {
	for _, bb := range []struct {
		name string
		rate float64
	}{{"20 instances", 200}, {"10000 instances", 100_000}} {
		load := workload.Steady("steady", seconds(400_000/bb.rate)+2*second, bb.rate, workload.Exponential(second)).Make(1)
		b.Run(bb.name, func(b *testing.B) {
			s := simulate.Defaults(10, 1)
			s.Pool.Scaling.Max = 12_000
			s.Lambda.NewPer10s = 0
			s.Pool.Scaling.StartsInProgress, s.Pool.Scaling.StartsBurst, s.Pool.Scaling.StartsPerSecond = 12_000, 12_000, 1000
			for b.Loop() {
				_, err := simulate.Run(load, s)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.N*len(load.Requests))/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
