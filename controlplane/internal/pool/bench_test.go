package pool_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// bigPool has 1,000 ready instances of 10 slots.
func bigPool(tb testing.TB) (*pool.Pool, time.Time) {
	s := settings()
	s.Lifetime = 15 * time.Minute
	s.QueueLimit, s.Scaling.Min, s.Scaling.Max = 2000, 1000, 1000
	s.Scaling.StartsInProgress, s.Scaling.StartsBurst = 1000, 1000
	p, now := pool.New(s), time.Unix(1_000_000, 0)
	for _, i := range slices.Clone(p.Tick(now).Start) {
		p.Up(now, i, 10)
	}
	require.Equal(tb, 10_000, p.Stats().Free)
	return p, now
}

// steady keeps load requests in flight or waiting, and returns a step that replaces the oldest by a new one.
func steady(p *pool.Pool, now time.Time, load int) func() {
	rs := make([]pool.Request, load)
	for k := range rs {
		p.Acquire(now, &rs[k])
	}
	oldest := 0
	return func() {
		now = now.Add(10 * time.Microsecond)
		p.Release(now, &rs[oldest])
		p.Acquire(now, &rs[oldest])
		p.Next()
		oldest = (oldest + 1) % load
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	for _, bb := range []struct {
		name string
		load int
	}{{"idle", 1}, {"half", 5000}, {"full", 10_000}, {"waiting", 11_000}} {
		b.Run(bb.name, func(b *testing.B) {
			p, now := bigPool(b)
			step := steady(p, now, bb.load)
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}

// BenchmarkDecision reports how long single calls take, a tick now and then included, with 10,000 slots leased and 1,000
// requests waiting. The clock's own cost is in the numbers.
func BenchmarkDecision(b *testing.B) {
	p, now := bigPool(b)
	step := steady(p, now, 11_000)
	took := make([]time.Duration, 0, 1<<20)
	for b.Loop() {
		from := time.Now()
		step()
		if len(took) < cap(took) {
			took = append(took, time.Since(from))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
	b.ReportMetric(float64(took[len(took)*999/1000]), "p99.9-ns")
}

// BenchmarkDrainSurplus is the longest step there is: 999 of 1,000 instances drain at once.
func BenchmarkDrainSurplus(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := settings()
		s.Concurrency, s.Scaling.Max, s.Scaling.StartsInProgress, s.Scaling.StartsBurst = 1, 1000, 1000, 1000
		p, now := pool.New(s), time.Unix(1_000_000, 0)
		rs := make([]pool.Request, 1000)
		for k := range rs {
			for _, i := range slices.Clone(p.Acquire(now, &rs[k]).Start) {
				p.Up(now, i, 10)
			}
		}
		for k := range rs[1:] {
			p.Release(now, &rs[k])
		}
		b.StartTimer()
		if n := len(p.Tick(now.Add(time.Minute)).Drain); n != 999 {
			b.Fatalf("%d drained", n)
		}
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, load := range []int{1, 5000, 11_000} {
		p, now := bigPool(t)
		step := steady(p, now, load)
		for range 3000 {
			step()
		}
		require.Zero(t, testing.AllocsPerRun(3000, step), "load %d", load)
	}
}
