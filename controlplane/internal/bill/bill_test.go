package bill_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
)

var (
	epoch = time.Unix(1_000_000, 0)
	rates = bill.Rates{Request: 0.2e-6, GBSecond: 0.0000166667}
)

func at(d time.Duration) time.Time { return epoch.Add(d) }

func TestWhatHasEndedIsBilledAsReported(t *testing.T) {
	a := bill.NewAccount(rates, 0)
	a.Started(at(0))
	a.Started(at(0))
	a.Ended(at(10*time.Second), at(0), bill.Usage{Billed: 9500 * time.Millisecond, MemoryMB: 512})
	a.Ended(at(20*time.Second), at(0), bill.Usage{Billed: 20 * time.Second, Init: time.Second, MemoryMB: 1024})
	s := a.Statement(at(time.Hour))
	require.EqualValues(t, 2, s.Invocations)
	require.Zero(t, s.Estimated)
	require.EqualValues(t, 29.5, s.Billed)
	require.InDelta(t, 9.5/2+20, s.GBSeconds, 1e-9)
	require.InDelta(t, 24.75*0.0000166667+2*0.2e-6, s.Dollars, 1e-12)
	require.Zero(t, s.DollarsPerHour)
	require.Equal(t, 1024, s.MemoryMB, "the latest")
}

// The estimate of what runs gives way to the report.
func TestWhatRunsIsEstimated(t *testing.T) {
	a := bill.NewAccount(rates, 512)
	a.Started(at(0))
	a.Started(at(time.Second))
	s := a.Statement(at(3 * time.Second))
	require.Equal(t, 2, s.Running)
	require.InDelta(t, (3+2)/2.0, s.RunningGBSeconds, 1e-9)
	require.InDelta(t, 2.5*0.0000166667+2*0.2e-6, s.Dollars, 1e-12)
	require.InDelta(t, 2*0.5*3600*0.0000166667, s.DollarsPerHour, 1e-12)

	a.Ended(at(4*time.Second), at(time.Second), bill.Usage{Billed: 2 * time.Second, MemoryMB: 512})
	a.Refused(at(4*time.Second), at(0))
	s = a.Statement(at(4 * time.Second))
	require.Zero(t, s.Running)
	require.Zero(t, s.RunningGBSeconds)
	require.InDelta(t, 1*0.0000166667+0.2e-6, s.Dollars, 1e-12, "what was refused is free")
}

func TestWithoutAReportTheTimeCounts(t *testing.T) {
	a := bill.NewAccount(rates, 256)
	a.Started(at(0))
	a.Ended(at(1500*time.Microsecond), at(0), bill.Usage{})
	s := a.Statement(at(time.Minute))
	require.EqualValues(t, 1, s.Estimated)
	require.EqualValues(t, 0.002, s.Billed, "each millisecond that has begun")
	require.InDelta(t, 0.002/4, s.GBSeconds, 1e-12)
}

func TestUnknownMemoryIsAssumedUntilItIsReported(t *testing.T) {
	a := bill.NewAccount(rates, 0)
	require.Equal(t, bill.AssumedMemoryMB, a.MemoryMB())
	a.Started(at(0))
	a.Ended(at(1), at(0), bill.Usage{Billed: time.Second, MemoryMB: 128})
	require.Equal(t, 128, a.MemoryMB())
	a.Started(at(1))
	a.Ended(at(2), at(1), bill.Usage{})
	require.Equal(t, 128, a.MemoryMB(), "nothing new was said")
}

// request is one request of plain Lambda's, from and until.
type request struct{ from, until time.Duration }

func plainOf(t *testing.T, now time.Duration, requests ...request) bill.Plain {
	a := bill.NewAccount(rates, 1024)
	a.Started(at(0)) // says how long a cold start takes: 400 ms
	a.Ended(at(0), at(0), bill.Usage{Billed: time.Second, Init: 400 * time.Millisecond, MemoryMB: 1024})
	for step := time.Duration(0); step <= now; step += time.Millisecond {
		for _, r := range requests {
			if r.until == step {
				a.Released(at(step), at(r.from))
			}
		}
		for _, r := range requests {
			if r.from == step {
				a.Leased(at(step))
			}
		}
	}
	p := a.Statement(at(now)).Plain
	require.InDelta(t, p.GBSeconds*rates.GBSecond+float64(p.Requests)*rates.Request, p.Dollars, 1e-15)
	require.InDelta(t, p.Duration+p.Init, p.GBSeconds, 1e-12)
	return p
}

func TestPlainLambda(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		requests []request
		cold     uint64
		duration time.Duration
	}{
		"one after the other": {[]request{{0, 50 * ms}, {50 * ms, 100 * ms}, {200 * ms, 210 * ms}}, 1, 110 * ms},
		"together":            {[]request{{0, 50 * ms}, {10 * ms, 60 * ms}, {20 * ms, 70 * ms}}, 3, 150 * ms},
		"again together":      {[]request{{0, 50 * ms}, {10 * ms, 60 * ms}, {1000 * ms, 1010 * ms}, {1000 * ms, 1010 * ms}}, 2, 120 * ms},
		"still running":       {[]request{{0, 50 * ms}, {100 * ms, time.Hour}}, 1, 1950 * ms},
		"none":                {},
	} {
		t.Run(name, func(t *testing.T) {
			p := plainOf(t, 2*time.Second, tt.requests...)
			require.EqualValues(t, len(tt.requests), p.Requests)
			require.Equal(t, tt.cold, p.ColdStarts)
			require.InDelta(t, 0.4*float64(tt.cold), p.Init, 1e-9)
			require.InDelta(t, tt.duration.Seconds(), p.Duration, 1e-9)
		})
	}
}

func TestPlainLambdaForgetsIdleEnvironments(t *testing.T) {
	for idle, cold := range map[time.Duration]uint64{
		bill.PlainKeepAlive - time.Second: 2,
		2 * bill.PlainKeepAlive:           4,
	} {
		a := bill.NewAccount(rates, 128)
		now := epoch
		for range 2 {
			a.Leased(now)
			a.Leased(now)
			for range 2 {
				a.Released(now.Add(time.Second), now)
			}
			now = now.Add(time.Second + idle)
		}
		require.Equal(t, cold, a.Statement(now).Plain.ColdStarts, idle)
	}
}

func TestEachRequestIsBilledInWholeMilliseconds(t *testing.T) {
	a := bill.NewAccount(rates, 128)
	for range 1000 {
		a.Leased(at(0))
		a.Released(at(time.Microsecond), at(0))
	}
	require.EqualValues(t, 1, a.Statement(at(time.Second)).Plain.Duration)
}

// Savings that are losses must say so.
func TestALonelyRequestSavesNothing(t *testing.T) {
	a := bill.NewAccount(rates, 1024)
	a.Started(at(0))
	a.Leased(at(time.Second))
	a.Released(at(1050*time.Millisecond), at(time.Second))
	a.Ended(at(11*time.Second), at(0), bill.Usage{Billed: 11 * time.Second, MemoryMB: 1024})
	s := a.Statement(at(time.Minute))
	require.InDelta(t, (0.05-11)*rates.GBSecond, s.Saved(), 1e-12)
}

// TestSumsAreThoseOfAList compares the account, which keeps no list of what is under way, with one that does.
func TestSumsAreThoseOfAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, now := bill.NewAccount(rates, 1024), epoch
		var running, leased []time.Time
		var billed, duration time.Duration
		take := func(from *[]time.Time) time.Time {
			n := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
			v := (*from)[n]
			*from = append((*from)[:n:n], (*from)[n+1:]...)
			return v
		}
		t.Repeat(map[string]func(*rapid.T){
			"pass":  func(t *rapid.T) { now = now.Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "ns"))) },
			"start": func(*rapid.T) { a.Started(now); running = append(running, now) },
			"lease": func(*rapid.T) { a.Leased(now); leased = append(leased, now) },
			"end": func(t *rapid.T) {
				if len(running) == 0 {
					t.Skip("none")
				}
				started := take(&running)
				a.Ended(now, started, bill.Usage{})
				billed += (now.Sub(started) + time.Millisecond - 1).Truncate(time.Millisecond)
			},
			"refuse": func(t *rapid.T) {
				if len(running) == 0 {
					t.Skip("none")
				}
				a.Refused(now, take(&running))
			},
			"release": func(t *rapid.T) {
				if len(leased) == 0 {
					t.Skip("none")
				}
				from := take(&leased)
				a.Released(now, from)
				duration += (now.Sub(from) + time.Millisecond - 1).Truncate(time.Millisecond)
			},
			"": func(t *rapid.T) {
				s := a.Statement(now)
				ages, open := 0.0, duration
				for _, from := range running {
					ages += now.Sub(from).Seconds()
				}
				for _, from := range leased {
					open += now.Sub(from)
				}
				require.Equal(t, len(running), s.Running)
				require.InDelta(t, ages, s.RunningGBSeconds, 1e-6)
				require.InDelta(t, billed.Seconds(), s.Billed, 1e-6)
				require.InDelta(t, open.Seconds(), s.Plain.Duration, 1e-6)
				require.LessOrEqual(t, s.Plain.ColdStarts, s.Plain.Requests)
			},
		})
	})
}

// A thousand WebSockets at once for half a year, and then a hundred thousand for a year: more than a time.Duration holds,
// under way and ended.
func TestSumsDoNotOverflow(t *testing.T) {
	a := bill.NewAccount(rates, 1024)
	now := epoch
	for range 25 {
		for range 1000 {
			a.Leased(now)
			a.Started(now)
		}
		began := now
		now = now.Add(200 * time.Hour)
		for range 1000 {
			a.Released(now, began)
			a.Ended(now, began, bill.Usage{Billed: 200 * time.Hour, Init: 200 * time.Hour, MemoryMB: 1024})
		}
	}
	const seconds = 5e6 * 3600
	for range 100_000 {
		a.Leased(now)
		a.Started(now)
	}
	now = now.Add(10_000 * time.Hour)
	s := a.Statement(now)
	const running = 1e9 * 3600
	require.InEpsilon(t, seconds, s.Billed, 1e-9)
	require.InEpsilon(t, seconds, s.GBSeconds, 1e-9)
	require.InEpsilon(t, running, s.RunningGBSeconds, 1e-9)
	require.InEpsilon(t, seconds+running, s.Plain.Duration, 1e-9)
	require.InEpsilon(t, 200*3600*float64(s.Plain.ColdStarts), s.Plain.Init, 1e-9)
	require.InEpsilon(t, (seconds+running)*rates.GBSecond, s.Dollars, 1e-4)
	require.Greater(t, s.Plain.Dollars, (seconds+running)*rates.GBSecond)
}

// The init of an app that takes longer than Lambda's init phase goes on in the invocation, where plain Lambda would
// bill it as well.
func TestPlainLambdaPaysForInitsThatOutlastTheInitPhase(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name  string
		usage bill.Usage
		init  time.Duration
	}{
		{"short", bill.Usage{Billed: 60 * second, Init: 2 * second, Up: 5 * second}, 2 * second},
		{"the rest in the invocation", bill.Usage{Billed: 60 * second, Init: 9 * second, Up: 14 * second}, 14 * second},
		{"never up", bill.Usage{Billed: 60 * second, Init: 9 * second}, 9 * second},
		{"up later than what was billed", bill.Usage{Billed: 12 * second, Init: 9 * second, Up: 14 * second}, 12 * second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := bill.NewAccount(rates, 1024)
			a.Leased(at(0))
			a.Released(at(second), at(0))
			a.Started(at(0))
			a.Ended(at(time.Minute), at(0), tt.usage)
			p := a.Statement(at(time.Hour)).Plain
			require.InDelta(t, tt.init.Seconds(), p.Init, 1e-9)
			require.InDelta(t, 1+tt.init.Seconds(), p.GBSeconds, 1e-9)
		})
	}
}

// A request's part of the bill is on the path of every request.
func TestARequestAllocatesNothing(t *testing.T) {
	a, now := bill.NewAccount(rates, 128), epoch
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		a.Leased(now)
		a.Released(now.Add(time.Millisecond), now)
	}))
}

func BenchmarkRequest(b *testing.B) {
	a, now := bill.NewAccount(rates, 128), epoch
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Millisecond)
		a.Leased(now)
		a.Released(now.Add(time.Millisecond), now)
	}
}

// Each leader counts what it adds itself. So sums over all of them are the bill, whoever led when.
func TestOwnStatementsOfLeadersAddUpToTheBill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lasts := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(1, 100_000).Draw(t, name)) * time.Millisecond
		}
		report := func(d time.Duration) bill.Usage { return bill.Usage{Billed: d, MemoryMB: 512} }
		first := bill.NewAccount(rates, 512)
		for range rapid.IntRange(0, 5).Draw(t, "before") {
			d := lasts("lasted")
			first.Started(at(-d))
			first.Ended(at(0), at(-d), report(d))
			first.Leased(at(-d))
			first.Released(at(0), at(-d))
		}
		age, more := lasts("age"), lasts("more")
		first.Started(at(-age)) // it outlives the leader
		left := first.Statement(at(0))
		require.Equal(t, left, first.Own(at(0)), "nobody led before")

		second := bill.NewAccount(rates, 512)
		second.Learn(first.Note())
		fresh := second.Own(at(0))
		require.Zero(t, fresh.Billed, "a counter is never below zero, by no rounding")
		require.Zero(t, fresh.GBSeconds)
		require.Zero(t, fresh.Plain.Duration)
		second.Inherited(at(0), at(-age))
		require.InDelta(t, 0, second.Own(at(0)).Dollars, 1e-12)
		require.InDelta(t, left.Dollars, second.Statement(at(0)).Dollars, 1e-12)
		second.Started(at(0))
		second.Ended(at(more), at(0), report(more))
		second.Ended(at(more), at(-age), report(age+more))
		second.Leased(at(0))
		second.Released(at(more), at(0))
		whole, own := second.Statement(at(more)), second.Own(at(more))
		require.InDelta(t, whole.Dollars, left.Dollars+own.Dollars, 1e-12)
		require.InDelta(t, whole.Plain.Dollars, left.Plain.Dollars+own.Plain.Dollars, 1e-12)
		require.InDelta(t, whole.Billed, left.Billed+own.Billed, 1e-9)
		require.InDelta(t, whole.GBSeconds, left.GBSeconds+own.GBSeconds, 1e-9)
		require.Equal(t, whole.Invocations, left.Invocations+own.Invocations)
	})
}
