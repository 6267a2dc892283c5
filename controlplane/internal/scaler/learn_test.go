package scaler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func TestFleetTellsColdFromWarm(t *testing.T) {
	f := scaler.NewFleet()
	require.False(t, f.Known())
	f.Up(at(0), "a", time.Second, nil)
	require.True(t, f.Known())
	require.Equal(t, time.Second, f.Cold.Mean(0))
	require.Equal(t, time.Minute, f.Warm.Mean(time.Minute), "not known yet")
	require.Zero(t, f.Frozen(at(0)), "it runs")
	f.Ended(at(time.Second), "a", false)
	f.Ended(at(time.Second), "a", false)
	require.Equal(t, 1, f.Frozen(at(2*time.Second)))
	require.Equal(t, at(time.Second+scaler.SurelyFrozen), f.Until(at(2*time.Second)))
	f.Up(at(3*time.Second), "a", 20*time.Millisecond, nil)
	require.Equal(t, 20*time.Millisecond, f.Warm.Mean(0))
	require.Zero(t, f.Frozen(at(3*time.Second)))
	f.Ended(at(4*time.Second), "a", true)
	require.Zero(t, f.Frozen(at(4*time.Second)), "a crash ends the environment")
}

// What no start of Lambda's takes says nothing about the next one.
func TestLearnedTimesAreBounded(t *testing.T) {
	f := scaler.NewFleet()
	for range 10 {
		f.Up(at(0), "a", time.Hour, nil)
		f.Ended(at(0), "a", true)
		f.Up(at(0), "a", time.Hour, nil)
		f.Ended(at(0), "a", false)
		f.Up(at(0), "a", time.Hour, nil)
		f.Ended(at(0), "a", true)
	}
	require.Equal(t, 2*time.Minute, f.Cold.Mean(0))
	require.Equal(t, time.Second, f.Warm.Mean(0))
}

// Starts that are made together come up in the order of how long they take. The last ones are no better sample than the first.
func TestStartsTogetherTakeAsLongAsTheirMean(t *testing.T) {
	f := scaler.NewFleet()
	const n = 40
	for round := range 10 {
		begin := time.Duration(round) * time.Minute
		for k := range n {
			took := time.Duration(10+k) * time.Millisecond
			f.Up(at(begin+took), fmt.Sprint(k), took, nil)
		}
		for k := range n {
			f.Ended(at(begin+time.Second), fmt.Sprint(k), false)
		}
	}
	require.InDelta(t, 29.5, f.Warm.Mean(0).Seconds()*1000, 4)
}

// An environment may live on after it is not counted on any more: its start is warm then, too.
func TestFleetForgetsInTwoSteps(t *testing.T) {
	f := scaler.NewFleet()
	for _, id := range []string{"a", "b"} {
		f.Up(at(0), id, time.Second, nil)
		f.Ended(at(0), id, false)
	}
	f.Up(at(time.Minute), "b", 30*time.Millisecond, nil)
	f.Ended(at(time.Minute), "b", false)
	require.Equal(t, 2, f.Frozen(at(time.Minute)))
	require.Equal(t, 1, f.Frozen(at(scaler.SurelyFrozen)), "only the one that ran since")
	f.Up(at(10*time.Minute), "a", 50*time.Millisecond, nil)
	require.Equal(t, time.Second, f.Cold.Mean(0))
	f.Ended(at(10*time.Minute), "a", false)
	require.Equal(t, 1, f.Frozen(at(10*time.Minute)))
	require.Zero(t, f.Frozen(at(time.Hour)))
	f.Up(at(2*time.Hour), "a", 2*time.Second, nil)
	require.Greater(t, f.Cold.Mean(0), time.Second, "after hours it is another one")
}

// An environment has served before the fleet was there, or has outlived an end that looked like a crash.
func TestAnEnvironmentThatIsFoundIsNotNew(t *testing.T) {
	f := fleet(2)
	cold := f.Cold.Mean(0)
	s := f.Begin(at(0))
	f.Found("of before")
	require.False(t, f.Up(at(30*time.Millisecond), "of before", 30*time.Millisecond, s))
	require.Equal(t, cold, f.Cold.Mean(0))
	require.Equal(t, 2, f.Spare(at(30*time.Millisecond)), "those that are known are there as well")
	f.Ended(at(time.Second), "of before", false)
	require.Equal(t, 3, f.Spare(at(time.Second)))
}

// An environment serves its next instance before the end of the one before is heard, or that never is: it runs, and was not frozen.
func TestAnEndThatIsHeardLateFreezesNothing(t *testing.T) {
	for name, crashed := range map[string]bool{"its answer comes late": false, "its answer is lost": true} {
		t.Run(name, func(t *testing.T) {
			f := scaler.NewFleet()
			f.Up(at(0), "a", time.Second, nil)
			relied := f.Relied()
			require.False(t, f.Up(at(2*time.Second), "a", 30*time.Millisecond, nil))
			require.Equal(t, relied, f.Relied(), "nobody knows for how long it was frozen")
			f.Ended(at(3*time.Second), "a", crashed)
			require.Zero(t, f.Frozen(at(3*time.Second)), "it runs")
			f.Ended(at(4*time.Minute), "a", false)
			require.Equal(t, 1, f.Frozen(at(5*time.Minute)), "since it ended last")
		})
	}
}

// Starts claim frozen environments, so that two are not counted on the same one.
func TestFleetExpectsStartsToBeWarmWhileEnvironmentsAreFrozen(t *testing.T) {
	f := fleet(2)
	a, b, c := f.Begin(at(0)), f.Begin(at(0)), f.Begin(at(0))
	require.Zero(t, f.Spare(at(0)))
	require.Equal(t, 2, f.Frozen(at(0)))
	f.Up(at(time.Millisecond), "a", 30*time.Millisecond, a)
	require.Zero(t, f.Spare(at(time.Millisecond)), "b's is still to come")
	f.Ended(at(time.Millisecond), "a", false)
	require.Equal(t, 1, f.Spare(at(time.Millisecond)))
	f.Over(at(time.Millisecond), b)
	f.Over(at(time.Millisecond), b)
	require.Equal(t, 2, f.Spare(at(time.Millisecond)), "it failed, and has not used what it claimed")
	f.Up(at(time.Second), "new", time.Second, c)
	require.Equal(t, 2, f.Spare(at(time.Second)), "expected in a new one")
	f.Over(at(time.Second), nil)
}

// All starts in progress were counted on frozen environments, and one comes up in a new one: Lambda has none left.
func TestASurpriseMakesFrozenEnvironmentsDoubtful(t *testing.T) {
	f := fleet(3)
	s := f.Begin(at(time.Second))
	f.Ended(at(time.Second), "nobody knows it", false)
	f.Up(at(2*time.Second), "new", time.Second, s)
	require.Zero(t, f.Spare(at(2*time.Second)))
	s = f.Begin(at(3 * time.Second))
	f.Up(at(4*time.Second), "a", 30*time.Millisecond, s)
	f.Ended(at(4*time.Second), "a", false)
	require.Equal(t, 1, f.Spare(at(4*time.Second)), "one was there after all")

	f = fleet(3)
	second := at(time.Second)
	claims, beyond := f.Begin(second), []*scaler.Start{f.Begin(second), f.Begin(second), f.Begin(second)}
	f.Up(at(1100*time.Millisecond), "new", 100*time.Millisecond, claims)
	require.Equal(t, 3, f.Frozen(at(1100*time.Millisecond)), "the one expected in a new environment may have got the frozen one")
	require.Zero(t, f.Spare(at(1100*time.Millisecond)))
	f.Over(at(1200*time.Millisecond), beyond[2])
	require.Equal(t, 1, f.Spare(at(1200*time.Millisecond)), "it failed")
}

// Whether a start hangs alone is told by others of its kind.
func TestAStartHangsAloneIfOthersOfItsKindComeUp(t *testing.T) {
	now := epoch
	f := scaler.NewFleet()
	f.Up(now, "a", time.Second, f.Begin(now))
	f.Ended(now, "a", false)
	warm, cold := f.Begin(now.Add(time.Second)), f.Begin(now.Add(time.Second))
	require.True(t, f.Claims(warm))
	require.False(t, f.Claims(cold))
	f.Up(now.Add(2*time.Second), "a", time.Second, nil)
	require.False(t, f.Alone(cold), "one in an environment that was there")
	f.Up(now.Add(3*time.Second), "b", time.Second, nil)
	require.True(t, f.Alone(cold))
}

// Of two starts the second one reaches Lambda first, and takes the environment that the first one was counted on. When that is
// frozen again it is there for a third.
func TestAStartThatIsOvertakenClaimsNothing(t *testing.T) {
	f := fleet(1)
	second := at(time.Second)
	first, other := f.Begin(second), f.Begin(second)
	f.Up(at(1030*time.Millisecond), "a", 30*time.Millisecond, other)
	f.Ended(at(1040*time.Millisecond), "a", false)
	require.Equal(t, 1, f.Spare(at(1040*time.Millisecond)))
	f.Up(at(9*time.Second), "new", 8*time.Second, first)
	require.Equal(t, 1, f.Spare(at(9*time.Second)), "which is no reason to doubt anything")
}

// A start came just after an environment's last answer, and Lambda made a new one: that is no reason to doubt the first.
func TestAnEnvironmentThatWasNotFrozenYetIsNotDoubted(t *testing.T) {
	f := fleet(1)
	relied := f.Relied()
	s := f.Begin(at(50 * time.Millisecond))
	require.Zero(t, f.Spare(at(60*time.Millisecond)))
	f.Up(at(8*time.Second), "new", 8*time.Second, s)
	require.Equal(t, 1, f.Spare(at(8*time.Second)))
	require.Equal(t, relied, f.Relied())
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

func TestFlowRemembersHowLongRequestsTake(t *testing.T) {
	f, s, now := flow()
	usual, known := f.Usual()
	require.True(t, known)
	require.InDelta(t, time.Second, usual, 1e8)
	s.Departures += uint64(s.Leased)
	s.Leased = 0
	f.Observe(at(now), s)
	f.Observe(at(now+time.Hour), s)
	require.Zero(t, f.Service(), "forgotten")
	usual, known = f.Usual()
	require.True(t, known)
	require.InDelta(t, time.Second, usual, 2e8)
}

// Before a request has ended, those in flight tell something.
func TestFlowGuessesHowLongRequestsTake(t *testing.T) {
	f, s := scaler.Flow{}, scaler.State{Arrivals: 10, Leased: 10}
	f.Observe(begin, &s)
	short, known := f.Usual()
	require.False(t, known)
	require.Less(t, short, time.Second)
	f.Observe(at(3*time.Second), &s)
	long, known := f.Usual()
	require.False(t, known)
	require.Equal(t, 6*time.Second, long)
	s.Departures, s.Leased = 1, 9
	f.Observe(at(3*time.Second), &s)
	usual, known := f.Usual()
	require.True(t, known)
	require.InDelta(t, 5*time.Second, usual, 3e9, "one of ten ended after 3 s")
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
		return k.Span(1, restart)
	}
	fresh := scaler.NewKeeper()
	require.Equal(t, restart, fresh.Span(1, restart))
	require.Zero(t, after(time.Minute))
	require.Equal(t, restart, after(80*time.Millisecond))
}

// What was needed within the span is kept, to the moment, however short the span. Unless something happens nobody need look before.
func TestWhatIsKeptIsKeptToTheMoment(t *testing.T) {
	const span = 20 * time.Millisecond
	always, never := func(int) time.Duration { return span }, func(int) time.Duration { return 0 }
	k := scaler.NewKeeper()
	k.Observe(at(0), 5, span)
	k.Observe(at(time.Millisecond), 3, span)
	k.Observe(at(4*time.Millisecond), 1, span)
	for _, tt := range []struct {
		after time.Duration
		kept  int
		until time.Duration // zero: for ever
	}{
		{4 * time.Millisecond, 5, time.Millisecond + span},
		{time.Millisecond + span - 1, 5, time.Millisecond + span},
		{time.Millisecond + span, 3, 4*time.Millisecond + span},
		{4*time.Millisecond + span, 1, 0},
	} {
		kept, until := k.Kept(at(tt.after), always)
		require.Equal(t, tt.kept, kept, "after %v", tt.after)
		if tt.until == 0 {
			require.True(t, until.IsZero())
		} else {
			require.Equal(t, at(tt.until), until)
		}
	}
	kept, _ := k.Kept(at(4*time.Millisecond), never)
	require.Equal(t, 1, kept, "a span of nothing")
	k.Observe(at(5*time.Millisecond), 2, span)
	kept, _ = k.Kept(at(5*time.Millisecond), never)
	require.Equal(t, 2, kept)
}

// One instance is needed every 50 ms, and four of them once a minute: what pauses have taught of the first says nothing of the others.
func TestPausesOfABurstSayNothingOfTheFirstInstance(t *testing.T) {
	const restart = 100 * time.Millisecond
	k, now := scaler.NewKeeper(), time.Duration(0)
	pulse := func(instances int, pause time.Duration) {
		k.Observe(at(now), instances, restart)
		k.Observe(at(now+10*time.Millisecond), 0, restart)
		now += 10*time.Millisecond + pause
	}
	for range 20 {
		for range 10 {
			pulse(1, 50*time.Millisecond)
		}
		pulse(7, 50*time.Millisecond)
	}
	require.Equal(t, restart, k.Span(1, restart))
	require.Zero(t, k.Span(4, restart))
	require.Zero(t, k.Span(7, restart))
	require.Equal(t, restart, k.Span(8, restart), "nothing is known")
}
