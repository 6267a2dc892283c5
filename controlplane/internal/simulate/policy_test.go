package simulate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// What the policy promises, on workloads of its own for each promise. Bounds leave room for the noise between seeds.

const millisecond = time.Millisecond

// seeds calls f with a few.
func seeds(t *testing.T, name string, f func(t *testing.T, seed uint64)) {
	t.Helper()
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("%s, seed %d", name, seed+1), func(t *testing.T) { f(t, seed+1) })
	}
}

// A crowd that meets environments starts what it needs, which is ten instances, and a few more, however quickly it comes.
func TestACrowdIsNoRate(t *testing.T) {
	for _, within := range []time.Duration{0, 5 * millisecond, 30 * millisecond, 100 * millisecond} {
		seeds(t, within.String(), func(t *testing.T, seed uint64) {
			const crowds = 30
			load := workload.Every("crowd", crowds*30*second, 30*second, 100, within, workload.Fixed(50*millisecond)).Make(seed)
			s := simulate.Defaults(10, seed)
			s.Until = crowds*30*second - second
			r := run(t, load, s)
			t.Logf("%.1f starts a crowd", float64(r.WarmStarts)/(crowds-1))
			require.LessOrEqual(t, float64(r.WarmStarts)/(crowds-1), 13.0, "starts of each crowd, those of the reserve included")
			require.LessOrEqual(t, r.ColdStarts, 12)
			require.LessOrEqual(t, r.Settled.Quantile(0.99), 60*millisecond)
		})
	}
}

// A crowd that is larger than the one before gets new environments for those who find none, and no more: inits are dear.
func TestACrowdThatOutgrowsItsEnvironments(t *testing.T) {
	for _, p := range []scaler.Preference{scaler.Cost, scaler.Balanced, scaler.Latency} {
		seeds(t, string(p), func(t *testing.T, seed uint64) {
			service := workload.Lognormal(120*millisecond, 1)
			load := workload.Beside("crowds",
				workload.Every("", second, second, 60, 40*millisecond, service),
				workload.Pulses("", 200*second, 200*second, 60*millisecond, 0, 1500, service)).Make(seed) // some ninety, after 100 s
			s := simulate.Defaults(10, seed)
			s.Lambda.Preset.Init = lambda.Spread{Median: 5 * second, Sigma: 0.2}
			tuning := p.Tuning()
			tuning.Reserve = -1
			s.Pool.Scaling.Policy = scaler.Frugal(tuning)
			r := run(t, load, s)
			need := (len(load.Requests) - 60 + 9) / 10
			t.Log(r.ColdStarts, "environments for", need)
			require.LessOrEqual(t, r.ColdStarts, need+1)
		})
	}
}

// What has gathered while the first start took its time is no demand: 200 requests a second of 50 ms fill one instance.
func TestABacklogIsNoDemand(t *testing.T) {
	for _, init := range []time.Duration{2 * second, 5 * second, 15 * second} {
		seeds(t, init.String(), func(t *testing.T, seed uint64) {
			s := simulate.Defaults(10, seed)
			s.Lambda.Preset.Init = lambda.Spread{Median: init, Sigma: 0.2}
			r := run(t, workload.Steady("steady", 2*minute, 200, workload.Fixed(50*millisecond)).Make(seed), s)
			t.Log(r.ColdStarts, "instances")
			require.LessOrEqual(t, r.ColdStarts, 10)
		})
	}
}

// A lone request to a function whose init is dear pays for one, also if nobody comes for long, or somebody now and then.
func TestALoneRequestPaysForOneInit(t *testing.T) {
	for _, init := range []time.Duration{750 * millisecond, 5 * second, 14 * second} {
		for _, every := range []time.Duration{30 * second, minute, 4 * minute} {
			seeds(t, fmt.Sprint(init, " each ", every), func(t *testing.T, seed uint64) {
				s := simulate.Defaults(10, seed)
				s.Priced()
				s.Lambda.Preset.Init = lambda.Spread{Median: init, Sigma: 0.2}
				r := run(t, workload.Every("lone", 40*minute, every, 1, 0, workload.Fixed(50*millisecond)).Make(seed), s)
				require.Equal(t, 1, r.ColdStarts)
				require.LessOrEqual(t, r.OverPacked(), 1.25)
			})
		}
	}
}

// One start in a hundred never comes up. Whoever waited for it is served by the next one; nobody else notices.
func TestStartsThatHangHoldNobodyUp(t *testing.T) {
	for _, g := range []workload.Generator{
		workload.Every("crowds", 20*minute, 3*second, 10, 0, workload.Exponential(800*millisecond)),
		workload.Steady("few", 20*minute, 3, workload.Exponential(800*millisecond)),
	} {
		seeds(t, g.Name, func(t *testing.T, seed uint64) {
			s := simulate.Defaults(10, seed)
			s.Lambda.DialFails = 0.01
			r := run(t, g.Make(seed), s)
			t.Log(r.ColdStarts, r.WarmStarts, "starts; waits", r.All.Quantile(0.99), r.All.Quantile(1), "lost", r.Lost())
			require.Zero(t, r.Lost())
			require.LessOrEqual(t, r.All.Quantile(0.99), 5*second)
		})
	}
}

// money is what a preference bills for a workload with that memory, and what plain Lambda would.
func money(t *testing.T, load workload.Workload, p scaler.Preference, memoryMB, concurrency int) (ours, plain simulate.Result) {
	s := simulate.Defaults(concurrency, 1)
	s.Lambda.MemoryMB = memoryMB
	s.Pool.Scaling.Preference = p
	s.Priced()
	return run(t, load, s), simulate.Plain(load, s)
}

// Fee and memory are in every decision: cost is the cheapest preference at every size, and none spends more on instances that
// do nothing than plain Lambda would for the work. What a start bills beside its requests remains.
func TestPreferencesAndMoney(t *testing.T) {
	web := workload.Lognormal(35*millisecond, 1)
	for _, g := range []workload.Generator{
		workload.Steady("web", 2*minute, 50, web),
		workload.Steady("small", 20*minute, 5, web),
		workload.Steady("rare", 60*minute, 0.2, web),
		workload.Steady("tiny, 2/s", 20*minute, 2, workload.Fixed(5*millisecond)),
		workload.Steady("tiny, 20/s", 3*minute, 20, workload.Fixed(5*millisecond)),
		workload.Pulses("bursts", 3*minute, 30*second, 10*second, 0, 100, workload.Exponential(300*millisecond)),
	} {
		load := g.Make(1)
		for _, memory := range []int{128, 512, 1769} {
			for _, concurrency := range []int{1, 10} {
				if memory != 128 && concurrency == 1 {
					continue
				}
				t.Run(fmt.Sprint(g.Name, ", ", memory, " MB, concurrency ", concurrency), func(t *testing.T) {
					cost, plain := money(t, load, scaler.Cost, memory, concurrency)
					balanced, _ := money(t, load, scaler.Balanced, memory, concurrency)
					latency, _ := money(t, load, scaler.Latency, memory, concurrency)
					require.LessOrEqual(t, cost.Dollars, 1.01*balanced.Dollars)
					start := float64(len(load.Requests)) * (18 * millisecond).Seconds() * 16.6667e-6 * float64(memory) / 1024
					t.Logf("cost %.3f of balanced; cost, balanced, latency %.3f, %.3f, %.3f of plain Lambda, %.3f, %.3f, %.3f with 18 ms a request",
						cost.Dollars/balanced.Dollars, cost.Dollars/plain.Dollars, balanced.Dollars/plain.Dollars, latency.Dollars/plain.Dollars,
						cost.Dollars/(plain.Dollars+start), balanced.Dollars/(plain.Dollars+start), latency.Dollars/(plain.Dollars+start))
					for _, r := range []simulate.Result{cost, balanced, latency} {
						require.LessOrEqual(t, r.Dollars, 1.1*(plain.Dollars+start))
					}
				})
			}
		}
	}
}

// An init costs more than to keep its environment, so cost keeps the environments of functions that are seldom used, as balanced does.
func TestCostKeepsEnvironmentsOfSparseFunctions(t *testing.T) {
	short := workload.Fixed(120 * millisecond)
	for _, g := range []workload.Generator{
		workload.Steady("each 2 minutes", 6*60*minute, 1.0/120, short),
		workload.Steady("each 5 minutes", 6*60*minute, 1.0/300, short),
		workload.Every("at each quarter", 6*60*minute, 15*minute, 1, second, short),
		workload.Clumped("in clumps", 6*60*minute, 1.0/100, 0.4, short),
	} {
		for _, memory := range []int{128, 512, 1769} {
			t.Run(fmt.Sprint(g.Name, ", ", memory, " MB"), func(t *testing.T) {
				load := g.Make(1)
				cost, _ := money(t, load, scaler.Cost, memory, 10)
				balanced, _ := money(t, load, scaler.Balanced, memory, 10)
				t.Logf("cost %.3f of balanced, inits %d, %d", cost.Dollars/balanced.Dollars, cost.ColdStarts, balanced.ColdStarts)
				require.LessOrEqual(t, cost.Dollars, 1.01*balanced.Dollars)
			})
		}
	}
}

// Where environments last for less than the windows that peaks are remembered in, what was needed in each window is not likely to be
// needed while one lasts. A reserve that overlooks this makes environment after environment that nobody uses.
func TestTheReserveKnowsThatEnvironmentsEndSoon(t *testing.T) {
	for _, pause := range []time.Duration{5 * minute, 15 * minute} {
		for _, memory := range []int{128, 1769} {
			t.Run(fmt.Sprint("each ", pause, ", ", memory, " MB"), func(t *testing.T) {
				load := workload.Steady("seldom", 12*60*minute, 1/pause.Seconds(), workload.Fixed(120*millisecond)).Make(1)
				s := simulate.Defaults(10, 1)
				s.Lambda.MemoryMB, s.Lambda.IdleLeast, s.Lambda.IdleMost = memory, 20*second, minute
				s.Priced()
				with := run(t, load, s)
				tuning := scaler.Balanced.Tuning()
				tuning.Reserve = -1
				s.Pool.Scaling.Policy = scaler.Frugal(tuning)
				without := run(t, load, s)
				t.Logf("bill %.3f times, inits %d, %d", with.Dollars/without.Dollars, with.ColdStarts, without.ColdStarts)
				require.LessOrEqual(t, with.Dollars, 1.5*without.Dollars)
			})
		}
	}
}

// Functions whose requests have ended are left alone after twenty minutes, with a preference for latency after half an hour.
func TestWhatIsNotUsedIsLeftAlone(t *testing.T) {
	for p, after := range map[scaler.Preference]time.Duration{scaler.Cost: 20 * minute, scaler.Balanced: 20 * minute, scaler.Latency: 30 * minute} {
		for _, n := range []int{1, 100} {
			t.Run(fmt.Sprint(p, ", ", n), func(t *testing.T) {
				s := simulate.Defaults(10, 1)
				s.Pool.Scaling.Preference, s.Samples = p, 60*60*50
				s.Priced()
				load := workload.Every("once", minute, minute, n, 0, workload.Fixed(50*millisecond)).Make(1)
				load.Horizon, s.Until = 60*minute, 60*minute
				r := run(t, load, s)
				var last time.Duration
				for _, sample := range r.Series {
					if sample.Starting+sample.Ready+sample.Draining > 0 {
						last = sample.At
					}
				}
				t.Log("last instance after", last)
				require.Greater(t, last, 5*minute, "environments are kept for a while")
				require.LessOrEqual(t, last, after)
			})
		}
	}
}

// Environments that are there are started as fast as they are needed, however many: bounds on starts are for new ones.
func TestALargeCrowdThatMeetsEnvironments(t *testing.T) {
	long(t)
	seeds(t, "5000", func(t *testing.T, seed uint64) {
		load := workload.Every("crowd", 8*minute, minute, 5000, 200*millisecond, workload.Fixed(200*millisecond)).Make(seed)
		s := simulate.Defaults(10, seed)
		s.Sized(load)
		r := run(t, load, s)
		t.Log("wait p99", r.Settled.Quantile(0.99))
		require.LessOrEqual(t, r.Settled.Quantile(0.99), 60*millisecond)
	})
}

// When capacity has fallen to nothing and the load comes back, all at once, starts overshoot what is needed by at most a
// quarter.
func TestAfterAnOutageStartsDoNotOvershoot(t *testing.T) {
	for _, tt := range []struct {
		name   string
		outage simulate.Outage
	}{
		{"envoy", simulate.Outage{Of: simulate.Envoy, At: 60 * second, For: 5 * second}},
		{"environments", simulate.Outage{Of: simulate.Environments, At: 60 * second}},
		{"control plane", simulate.Outage{Of: simulate.ControlPlane, At: 60 * second, For: 3 * second}},
	} {
		seeds(t, tt.name, func(t *testing.T, seed uint64) {
			load := workload.Steady("steady", 90*second, 200, workload.Exponential(500*millisecond)).Make(seed)
			s := simulate.Defaults(10, seed)
			s.Clients = simulate.Clients{Retries: 20}
			s.Outage, s.Until, s.Samples = tt.outage, 90*second, 18_000
			r, err := simulate.Run(load, s)
			require.NoError(t, err)
			need, most := 0, 0
			for _, sample := range r.Series {
				if sample.At > tt.outage.At && sample.At < tt.outage.At+tt.outage.For+4*second {
					need = max(need, (sample.InFlight+sample.Waiting+9)/10)
					most = max(most, sample.Ready+sample.Starting)
				}
			}
			t.Log(need, most, r.ColdStarts)
			require.LessOrEqual(t, float64(most), 1.25*float64(need))
		})
	}
}

// Slow environments are leased last and let go: clients and the bill hardly notice that one of eight, or of four, takes five
// times as long for a request.
func TestSlowEnvironmentsAreAvoided(t *testing.T) {
	for name, service := range map[string]workload.Service{
		"alike": workload.Fixed(200 * millisecond), "web": workload.Lognormal(100*millisecond, 0.7),
	} {
		for share, times := range map[float64]float64{0.125: 1.3, 0.25: 1.6} {
			t.Run(fmt.Sprint(name, ", ", share), func(t *testing.T) {
				var p99, dollars [2]float64
				for seed := range uint64(3) {
					load := workload.Steady("steady", 2*minute, 100, service).Make(seed + 1)
					for k, slow := range []float64{0, share} {
						s := simulate.Defaults(10, seed+1)
						s.Lambda.Slow, s.Lambda.SlowTimes = slow, 5
						s.After = 5 * second
						r, err := simulate.Run(load, s)
						require.NoError(t, err)
						require.Zero(t, r.Lost())
						p99[k] += simulate.Quantile(r.Latency, 0.99).Seconds()
						dollars[k] += r.Dollars
					}
				}
				t.Logf("p99 %.2f times, bill %.3f times", p99[1]/p99[0], dollars[1]/dollars[0])
				require.LessOrEqual(t, p99[1], times*p99[0])
				require.LessOrEqual(t, dollars[1], 1.1*dollars[0])
			})
		}
	}
}

// Streams gather where it is known which requests they are: that saves a part of the bill, whatever is beside them. Where what
// is taken for a stream is as short as the others, it costs next to nothing.
func TestLongStreamsGather(t *testing.T) {
	uniform := func(from, to time.Duration) workload.Service {
		return func(r *rand.Rand) time.Duration { return from + time.Duration(r.Int64N(int64(to-from))) }
	}
	pulses := workload.Pulses("", 10*minute, minute, 5*second, 10, 400, workload.Fixed(100*millisecond))
	switching := workload.Switching("", 10*minute, []float64{4, 120}, []time.Duration{20 * second, 6 * second}, workload.Lognormal(800*millisecond, 0.6))
	on := workload.Pulses("", 10*minute, 30*second, 10*second, 0, 200, workload.Fixed(200*millisecond))
	steady := workload.Steady("", 10*minute, 50, workload.Fixed(100*millisecond))
	streams := func(perSecond float64, lasts workload.Service) workload.Generator {
		return workload.Streams(workload.Steady("", 10*minute, perSecond, lasts))
	}
	for _, c := range []struct {
		name           string
		beside, stream workload.Generator
		bill           float64 // over that of who is not told
	}{
		{"few, pulses", on, streams(0.02, uniform(minute, 5*minute)), 0.9},
		{"pulses", pulses, streams(0.1, uniform(minute, 5*minute)), 0.93},
		{"many, pulses", on, streams(0.5, uniform(minute, 5*minute)), 0.9},
		{"switching", switching, streams(0.1, uniform(minute, 5*minute)), 0.9},
		{"of 20 s", pulses, streams(1, uniform(10*second, 30*second)), 0.92},
		{"of 1 s", pulses, streams(5, workload.Fixed(second)), 1.01},
		{"no longer than others", steady, streams(50, workload.Fixed(100*millisecond)), 1.02},
	} {
		t.Run(c.name, func(t *testing.T) {
			var dollars, wait [2]float64
			for seed := range uint64(2) {
				load := workload.Beside(c.name, c.beside, c.stream).Make(seed + 1)
				for k, untold := range []bool{true, false} {
					s := simulate.Defaults(10, seed+1)
					s.StreamsUntold = untold
					r, err := simulate.Run(load, s)
					require.NoError(t, err)
					require.Zero(t, r.Lost())
					dollars[k] += r.Dollars
					wait[k] = max(wait[k], r.Settled.Quantile(0.99).Seconds()*1000)
				}
			}
			t.Logf("bill %.3f times, wait p99 %.0f and %.0f ms", dollars[1]/dollars[0], wait[0], wait[1])
			require.LessOrEqual(t, dollars[1], c.bill*dollars[0])
			require.LessOrEqual(t, wait[1], wait[0]+10)
		})
	}
}
