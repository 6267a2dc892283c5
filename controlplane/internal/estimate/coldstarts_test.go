package estimate

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// The reckoned cold starts of plain Lambda are those that the simulator counts, where environments last as long and do not retire.
func TestColdStartsAreThoseOfTheSimulator(t *testing.T) {
	const latency = 200 * time.Millisecond
	for _, tt := range []struct {
		rate, peak float64
		period     time.Duration
	}{{0.0005, 1, 24 * time.Hour}, {0.002, 1, 24 * time.Hour}, {0.02, 1, 24 * time.Hour}, {2, 6, 4 * time.Hour}, {5, 20, time.Hour}} {
		p, err := Wave(tt.rate, tt.peak, tt.period)
		require.NoError(t, err)
		s := Default()
		s.Latency, s.Traffic.Profile = latency, p
		periods := int(math.Ceil(20_000 / (tt.rate * tt.period.Seconds())))
		load := workload.Of("made", s.requests(1, 1, periods))
		settings := simulate.Defaults(1, 1)
		settings.Lambda.IdleLeast, settings.Lambda.IdleMost = keepIdle, keepIdle
		settings.Lambda.Preset.Place.Median, settings.Lambda.Preset.Init.Median, settings.Lambda.Preset.Thaw.Median = 1, 1, 1
		counted := float64(simulate.Plain(load, settings).ColdStarts) / float64(periods)
		retired := p.Period().Seconds() / lifetime.Seconds() * (1 + p.Peak()*latency.Seconds())
		reckoned := coldStarts(p, latency, 1) / month * p.Period().Seconds()
		require.InDelta(t, counted, reckoned, 0.3*counted+retired, "%v requests/s, peak %v", tt.rate, tt.peak)
	}
}

// More slots need no more environments, and there are no more cold starts than requests.
func TestColdStartsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Profile{Step: time.Duration(rapid.IntRange(1, 7200).Draw(t, "step")) * time.Second}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p.Rates = append(p.Rates, rapid.Float64Range(0, 50).Draw(t, "rate"))
		}
		p.Rates[0] += 0.001
		latency := time.Duration(rapid.IntRange(1, 5000).Draw(t, "latency")) * time.Millisecond
		last := math.Inf(1)
		for _, slots := range []int{1, 2, 10} {
			cold := coldStarts(p, latency, slots)
			require.False(t, math.IsNaN(cold))
			require.GreaterOrEqual(t, cold, 0.0)
			require.LessOrEqual(t, cold, 1.001*p.Mean()*month)
			require.LessOrEqual(t, cold, last*1.001)
			last = cold
		}
	})
}

func TestAWaveIsWhatWasAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.001, 1000).Draw(t, "rate")
		peak := rapid.Float64Range(1, 30).Draw(t, "peak")
		p, err := Wave(rate, peak, 24*time.Hour)
		require.NoError(t, err)
		require.InEpsilon(t, rate, p.Mean(), 1e-9)
		require.InEpsilon(t, peak*rate, p.Peak(), 0.02)
		require.Equal(t, 24*time.Hour, p.Period())
	})
}

func TestFollowersHaveWhatIsAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Profile{Step: time.Minute, Rates: rapid.SliceOfN(rapid.Float64Range(0, 9), 1, 60).Draw(t, "rates")}
		follow := p.follow(5*time.Minute, 15*time.Minute)
		for k, rate := range p.Rates {
			require.GreaterOrEqual(t, follow[k], rate)
			require.LessOrEqual(t, follow[k], p.Peak())
			require.GreaterOrEqual(t, follow[(k+15)%len(follow)], rate, "a quarter of an hour after it")
		}
	})
}
