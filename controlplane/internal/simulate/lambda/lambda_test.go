package lambda_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
)

const minute = time.Minute

func invoke(t *testing.T, l *lambda.Lambda, now time.Duration) lambda.Invocation {
	t.Helper()
	i, outcome := l.Invoke(now, "")
	require.Equal(t, lambda.Runs, outcome)
	return i
}

func TestAnEnvironmentIsReusedUntilItExpires(t *testing.T) {
	l := lambda.New(lambda.Defaults())
	first := invoke(t, l, 0)
	require.True(t, first.Cold)
	l.End(minute, first, false)
	second := invoke(t, l, 5*minute)
	require.False(t, second.Cold)
	require.Same(t, first.Environment, second.Environment)
	require.Less(t, second.Up-5*minute, first.Up, "warm starts are quicker")
	l.End(6*minute, second, false)
	require.True(t, invoke(t, l, 21*minute).Cold)
}

func TestACrashedEnvironmentIsLost(t *testing.T) {
	l := lambda.New(lambda.Defaults())
	l.End(minute, invoke(t, l, 0), true)
	require.True(t, invoke(t, l, minute).Cold)
}

func TestLimits(t *testing.T) {
	s := lambda.Defaults()
	s.Concurrency, s.NewPer10s = 15, 10
	l := lambda.New(s)
	var running []lambda.Invocation
	for range 10 {
		running = append(running, invoke(t, l, 0))
	}
	_, outcome := l.Invoke(0, "")
	require.Equal(t, lambda.Throttled, outcome, "ten new ones in 10 s")
	invoke(t, l, time.Second)
	_, outcome = l.Invoke(time.Second, "")
	require.Equal(t, lambda.Throttled, outcome, "one a second after that")
	for range 4 {
		invoke(t, l, minute)
	}
	_, outcome = l.Invoke(minute, "")
	require.Equal(t, lambda.Throttled, outcome, "the account's concurrency")
	l.End(minute, running[0], false)
	require.False(t, invoke(t, l, minute).Cold)
}

// Environments of another version are kept, and serve who asks for that version.
func TestAVersionHasEnvironmentsOfItsOwn(t *testing.T) {
	l := lambda.New(lambda.Defaults())
	first := invoke(t, l, 0)
	require.Equal(t, lambda.FirstVersion, first.Environment.Version)
	l.End(minute, first, false)
	l.Deploy("2", false)
	second := invoke(t, l, minute)
	require.True(t, second.Cold)
	require.Equal(t, "2", second.Environment.Version)
	again, _ := l.Invoke(minute, lambda.FirstVersion)
	require.Same(t, first.Environment, again.Environment)
	l.Deploy("3", true)
	_, outcome := l.Invoke(minute, "")
	require.Equal(t, lambda.InitFails, outcome)
}

func TestTheBillRoundsUp(t *testing.T) {
	l := lambda.New(lambda.Defaults())
	i := invoke(t, l, 0)
	l.End(i.BilledFrom+1500*time.Microsecond, i, false)
	require.Equal(t, 1, l.Bill.Invocations)
	require.Equal(t, 2*time.Millisecond, l.Bill.Billed)
	bill := lambda.Bill{Invocations: 1e6, Billed: 1000 * time.Second}
	require.InDelta(t, 2000, bill.GBSeconds(2048), 1e-9)
	require.InDelta(t, 0.20+2000*0.0000166667, bill.Dollars(2048, lambda.Defaults().Prices), 1e-9)
}

// Lambda does not keep an environment for ever, however often it is used.
func TestAnEnvironmentRetires(t *testing.T) {
	s := lambda.Defaults()
	s.LifeLeast, s.LifeMost = 45*minute, 60*minute
	l := lambda.New(s)
	first := invoke(t, l, 0)
	l.End(first.Up, first, false)
	for now := minute; now < 45*minute; now += minute {
		i := invoke(t, l, now)
		require.Same(t, first.Environment, i.Environment)
		l.End(i.Up, i, false)
	}
	require.True(t, invoke(t, l, 61*minute).Cold)
}

func TestSomeEnvironmentsAreSlow(t *testing.T) {
	s := lambda.Defaults()
	s.Slow, s.SlowTimes, s.NewPer10s = 0.125, 5, 0
	l := lambda.New(s)
	slow := 0
	for range 1000 {
		if invoke(t, l, 0).Environment.Times == 5 {
			slow++
		}
	}
	require.InDelta(t, 125, slow, 40)
}

func TestTheFeeIsTimeOfAnInstance(t *testing.T) {
	s := lambda.Defaults()
	s.MemoryMB = 128
	require.InDelta(t, 96, s.Fee().Milliseconds(), 1)
}

func TestPresetsAreWhatTheirSourcesSay(t *testing.T) {
	for name, cold := range map[string][2]time.Duration{
		"image": {600 * time.Millisecond, 1400 * time.Millisecond},
		"zip":   {200 * time.Millisecond, 700 * time.Millisecond},
		"jvm":   {time.Second, 3500 * time.Millisecond},
	} {
		p, err := lambda.PresetByName(name)
		require.NoError(t, err)
		s := lambda.Defaults()
		s.Preset, s.NewPer10s = p, 0
		l := lambda.New(s)
		var colds, warms []time.Duration
		for k := range 1000 {
			now := time.Duration(k) * time.Hour
			first := invoke(t, l, now)
			l.End(first.Up, first, false)
			second := invoke(t, l, first.Up)
			l.End(second.Up, second, false)
			colds, warms = append(colds, first.Up-now), append(warms, second.Up-first.Up)
		}
		slices.Sort(colds)
		slices.Sort(warms)
		require.Greater(t, colds[50], cold[0], name)
		require.Less(t, colds[950], cold[1]+300*time.Millisecond, name)
		require.InDelta(t, 25, warms[500].Milliseconds(), 2, name)
		require.Less(t, warms[990], 55*time.Millisecond, name)
	}
	_, err := lambda.PresetByName("ruby")
	require.EqualError(t, err, `preset "ruby": unknown, there are image, zip, jvm`)
}

// The fee as time of an instance, also where that is next to nothing in price.
func TestFee(t *testing.T) {
	s := lambda.Defaults()
	require.InDelta(t, 7*time.Millisecond, s.Fee(), float64(time.Millisecond))
	s.MemoryMB = 128
	require.InDelta(t, 96*time.Millisecond, s.Fee(), float64(time.Millisecond))
	s.Prices.GBSecond = 0
	require.Equal(t, 24*time.Hour, s.Fee())
}
