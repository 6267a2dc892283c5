package scaler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func TestFleetTellsColdFromWarm(t *testing.T) {
	f := scaler.NewFleet()
	require.False(t, f.Known())
	f.Up(at(0), "a", time.Second)
	require.True(t, f.Known())
	require.Equal(t, time.Second, f.Cold.Mean(0))
	require.Equal(t, time.Minute, f.Warm.Mean(time.Minute), "not known yet")
	require.Zero(t, f.Frozen(at(0)), "it runs")
	f.Ended(at(time.Second), "a", false)
	f.Ended(at(time.Second), "a", false)
	require.Equal(t, 1, f.Frozen(at(2*time.Second)))
	require.Equal(t, at(time.Second+scaler.SurelyFrozen), f.Until(at(2*time.Second)))
	f.Up(at(3*time.Second), "a", 20*time.Millisecond)
	require.Equal(t, 20*time.Millisecond, f.Warm.Mean(0))
	require.Zero(t, f.Frozen(at(3*time.Second)))
	f.Ended(at(4*time.Second), "a", true)
	require.Zero(t, f.Frozen(at(4*time.Second)), "a crash ends the environment")
}

// What no start of Lambda's takes says nothing about the next one.
func TestLearnedTimesAreBounded(t *testing.T) {
	f := scaler.NewFleet()
	for range 10 {
		f.Up(at(0), "a", time.Hour)
		f.Ended(at(0), "a", true)
		f.Up(at(0), "a", time.Hour)
		f.Ended(at(0), "a", false)
		f.Up(at(0), "a", time.Hour)
		f.Ended(at(0), "a", true)
	}
	require.Equal(t, 2*time.Minute, f.Cold.Mean(0))
	require.Equal(t, time.Second, f.Warm.Mean(0))
}

// An environment may live on after it is not counted on any more: its start is warm then, too.
func TestFleetForgetsInTwoSteps(t *testing.T) {
	f := scaler.NewFleet()
	for _, id := range []string{"a", "b"} {
		f.Up(at(0), id, time.Second)
		f.Ended(at(0), id, false)
	}
	f.Up(at(time.Minute), "b", 30*time.Millisecond)
	f.Ended(at(time.Minute), "b", false)
	require.Equal(t, 2, f.Frozen(at(time.Minute)))
	require.Equal(t, 1, f.Frozen(at(scaler.SurelyFrozen)), "only the one that ran since")
	f.Up(at(10*time.Minute), "a", 50*time.Millisecond)
	require.Equal(t, time.Second, f.Cold.Mean(0))
	f.Ended(at(10*time.Minute), "a", false)
	require.Equal(t, 1, f.Frozen(at(10*time.Minute)))
	require.Zero(t, f.Frozen(at(time.Hour)))
	f.Up(at(2*time.Hour), "a", 2*time.Second)
	require.Greater(t, f.Cold.Mean(0), time.Second, "after hours it is another one")
}

// flow sees requests of one second, ten a second, from 0 to 20 s.
func flow() (*scaler.Flow, *scaler.State, time.Duration) {
	f, s := &scaler.Flow{}, &scaler.State{}
	now := time.Duration(0)
	for k := range 200 {
		now = time.Duration(k) * 100 * time.Millisecond
		s.Arrivals++
		if s.Leased++; s.Leased > 10 {
			s.Leased--
			s.Departures++
		}
		f.Observe(at(now), s)
	}
	return f, s, now
}

func TestFlowLearnsRateAndServiceTime(t *testing.T) {
	f, s, now := flow()
	require.InDelta(t, 10, f.Rate(), 4)
	require.InDelta(t, 10, f.InFlight(), 1)
	require.InDelta(t, time.Second, f.Service(), 1e8)
	require.InDelta(t, 1, f.Freed(10, 100*time.Millisecond), 0.2)
	require.InDelta(t, 10, f.Freed(10, time.Hour), 0.01)
	require.Less(t, f.Rise(s.Leased, 100*time.Millisecond), 1.0, "steady")
	for range 100 {
		now += time.Millisecond
		s.Arrivals++
		f.Observe(at(now), s)
	}
	require.Greater(t, f.Rise(s.Leased, time.Second), 50.0, "a burst")
	f.Observe(at(now+5*time.Second), s)
	require.Less(t, f.Rise(s.Leased, time.Second), 1.0, "it is over")
}

func TestFlowKnowsNothingAtFirst(t *testing.T) {
	f, s := scaler.Flow{}, scaler.State{Arrivals: 1, Waiting: 1}
	f.Observe(begin, &s)
	require.LessOrEqual(t, f.Rate(), 10.0, "one request is no burst")
	require.Zero(t, f.Service())
	require.Zero(t, f.Freed(10, time.Hour))
	require.Zero(t, f.Rise(0, time.Hour))
}

// Where pauses are short enough an instance is kept over them, where they are long not at all, and by default for as long as a
// restart costs.
func TestKeeper(t *testing.T) {
	const restart = 100 * time.Millisecond
	after := func(pause time.Duration) time.Duration {
		k, now := scaler.NewKeeper(), time.Duration(0)
		for range 100 {
			k.Observe(at(now), 1, restart)
			k.Observe(at(now+time.Second), 0, restart)
			now += time.Second + pause
		}
		return k.Keep(restart)
	}
	fresh := scaler.NewKeeper()
	require.Equal(t, restart, fresh.Keep(restart))
	require.Zero(t, after(time.Minute))
	require.Equal(t, restart, after(80*time.Millisecond))
}
