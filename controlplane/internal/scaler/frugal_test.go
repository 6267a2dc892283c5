package scaler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

var begin = time.Unix(1_000_000, 0)

func at(d time.Duration) time.Time { return begin.Add(d) }

// state is of a function with ten slots per instance and some environments that came up before.
func state(fleet *scaler.Fleet) scaler.State {
	return scaler.State{Max: 100, Concurrency: 10, Fleet: fleet}
}

// fleet has that many environments, frozen now, which take 30 ms to start warm and 1 s to start cold.
func fleet(frozen int) *scaler.Fleet {
	f := scaler.NewFleet()
	for k := range frozen {
		id := string(rune('a' + k))
		f.Up(begin, id, time.Second, nil)
		f.Ended(begin, id, false)
		f.Up(begin, id, 30*time.Millisecond, nil)
		f.Ended(begin, id, false)
	}
	return f
}

func frugal(p scaler.Preference) scaler.Rule { return scaler.NewRule(scaler.Settings{Preference: p}) }

func TestWaitersGetOneStartPerConcurrency(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state scaler.State
		start int
		need  scaler.Need
	}{
		{"nothing to do", scaler.State{}, 0, ""},
		{"first request", scaler.State{Waiting: 1}, 1, scaler.ForWaiters},
		{"a crowd", scaler.State{Waiting: 200}, 20, scaler.ForWaiters},
		{"rounded up", scaler.State{Waiting: 11}, 2, scaler.ForWaiters},
		{"on the way", scaler.State{Waiting: 11, Starting: 1}, 1, scaler.ForWaiters},
		{"all on the way", scaler.State{Waiting: 11, Starting: 5}, 0, ""},
		{"min", scaler.State{Min: 3, Ready: 1, Starting: 1}, 1, scaler.ForMin},
		{"min above max", scaler.State{Min: 300}, 100, scaler.ForMin},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.state.Max, tt.state.Concurrency, tt.state.Fleet = 100, 10, scaler.NewFleet()
			w := frugal(scaler.Balanced).Decide(begin, &tt.state)
			require.Equal(t, scaler.Want{Start: tt.start, For: tt.need}, w)
		})
	}
}

// busy lets a rule see ten seconds of 100 requests in flight on ten full instances, each taking 100 ms.
func busy(r scaler.Rule, s *scaler.State) time.Duration {
	s.Ready, s.Live, s.Leased = 10, 10, 100
	now := time.Duration(0)
	for ; now < 10*time.Second; now += time.Millisecond {
		s.Arrivals++
		s.Departures++
		r.Decide(at(now), s)
	}
	return now
}

// A slot is given back every millisecond: a few waiters are served by that before an instance could start.
func TestNoStartForWaitersWhoAreServedBefore(t *testing.T) {
	r, s := frugal(scaler.Cost), state(fleet(20))
	now := busy(r, &s)
	s.Waiting = 5
	require.Zero(t, r.Decide(at(now), &s).Start)
	s.Waiting = 45
	require.Positive(t, r.Decide(at(now), &s).Start)
}

// A start in a new environment is on its way, which is later than one in a frozen environment.
func TestAWarmStartIsNotWaitedForLonger(t *testing.T) {
	for _, p := range []scaler.Preference{scaler.Cost, scaler.Balanced, scaler.Latency} {
		r, s := frugal(p), state(fleet(0))
		s.Waiting, s.Oldest = 1, begin
		require.Equal(t, 1, r.Decide(begin, &s).Start)
		s.Fleet.Begin(begin)
		s.Starting, s.Live = 1, 1
		require.Zero(t, r.Decide(begin, &s).Start)
		s.Fleet.Up(begin, "a", time.Second, nil)
		s.Fleet.Ended(begin, "a", false)
		require.Equal(t, 1, r.Decide(begin, &s).Start, "there is one now")
		s.Fleet.Begin(begin)
		s.Starting, s.Live = 2, 2
		require.Zero(t, r.Decide(begin, &s).Start)
	}
}

// Patience for a slot that is given back ends, whatever requests took before.
func TestPatienceEnds(t *testing.T) {
	r, s := frugal(scaler.Cost), state(fleet(20))
	now := busy(r, &s)
	s.Waiting, s.Oldest = 5, at(now)
	require.Zero(t, r.Decide(at(now), &s).Start)
	end := at(now + scaler.Cost.Tuning().Patience)
	require.Zero(t, r.Decide(end.Add(-1), &s).Start)
	require.Equal(t, end, r.Next())
	require.Equal(t, 1, r.Decide(end, &s).Start)
}

// Slots that were given back every millisecond are waited for instead of a new environment, until they are given back no
// more.
func TestSlotsThatAreNotGivenBackAreNotCountedOn(t *testing.T) {
	r, s := frugal(scaler.Balanced), state(fleet(0))
	now := busy(r, &s) + 3*time.Second // nobody comes any more
	s.Arrivals++
	s.Departures++
	s.Waiting, s.Oldest = 1, at(now)
	require.Zero(t, r.Decide(at(now), &s).Start)
	next := r.Next()
	require.Less(t, next.Sub(at(now)), 10*time.Millisecond)
	require.Equal(t, 1, r.Decide(next, &s).Start)
}

// The reserve leaves room for a start that somebody waits for. Those in environments that are there do not count.
func TestTheReserveDoesNotTakeTheLastStart(t *testing.T) {
	for most, want := range map[int]int{0: 4, 1: 0, 2: 4, 5: 4} {
		r, s := scaler.NewRule(scaler.Settings{StartsInProgress: most}), state(fleet(3))
		empty := state(fleet(0))
		empty.Waiting = 25
		r.Decide(begin, &empty)
		require.Equal(t, want, r.Decide(at(6*time.Second), &s).Start, "of %d", most)
	}
}

func TestOnlyIdleInstancesDrainAndSoon(t *testing.T) {
	r, s := frugal(scaler.Balanced), state(fleet(20))
	now := busy(r, &s)
	s.Leased, s.Free = 40, 60
	require.Zero(t, r.Decide(at(now), &s).Drain, "none is idle")
	s.Idle = 2
	drained := 0
	for next := at(now); drained == 0; next = r.Next() {
		require.False(t, next.IsZero(), "it must say when to ask again")
		require.Less(t, next.Sub(at(now)), time.Second)
		drained = r.Decide(next, &s).Drain
	}
	require.Equal(t, 2, drained)
	s.Idle, s.Min = 6, 8
	require.Equal(t, 2, r.Decide(at(now+time.Minute), &s).Drain, "min stays")
}

// An instance that is idle only because slots are held free drains when requests come no more, though nothing happens that would
// call the rule.
func TestWhatIsHeldFreeIsLetGo(t *testing.T) {
	r, s := frugal(scaler.Latency), state(fleet(20))
	now := at(busy(r, &s))
	s.Leased, s.Ready, s.Live, s.Free, s.Idle = 17, 3, 3, 13, 1
	require.Zero(t, r.Decide(now, &s).Drain)
	for began, drained := now, 0; drained == 0; {
		next := r.Next()
		require.True(t, next.After(now), "it must say when to ask again")
		require.Less(t, next.Sub(began), time.Minute)
		now = next
		drained = r.Decide(now, &s).Drain
	}
}

// Requests have ended that came together, so plain Lambda would have been dearer for a while. When it would not any more nothing is
// spent on the idle instance, though nothing happens that would call the rule.
func TestWhatPlainLambdaWouldNotCostIsLetGoInTime(t *testing.T) {
	r, s := frugal(scaler.Latency), state(fleet(20))
	s.Ready, s.Live, s.Leased, s.Free, s.Arrivals = 1, 1, 3, 7, 3
	r.Decide(begin, &s)
	s.Leased, s.Free, s.Idle, s.Departures = 0, 10, 1, 3
	now := at(40 * time.Millisecond) // 120 ms of plain Lambda
	require.Zero(t, r.Decide(now, &s).Drain)
	require.InDelta(t, 0.12, r.Next().Sub(begin).Seconds(), 0.002)
	require.Equal(t, 1, r.Decide(r.Next(), &s).Drain)
}

// After a peak, environments are kept for it and one more, by starting all that do not run at once; not if nothing came up
// yet, or if starts fail. With a preference for cost there is not one more. An idle function is left alone in the end.
func TestReserve(t *testing.T) {
	after := func(p scaler.Preference, change func(*scaler.State)) scaler.Rule {
		r, s := frugal(p), state(fleet(3))
		empty := state(fleet(0))
		empty.Waiting = 25
		r.Decide(begin, &empty)
		change(&s)
		require.Zero(t, r.Decide(at(time.Second), &s).Start, "the burst may go on")
		w := r.Decide(at(6*time.Second), &s)
		if p == scaler.Balanced && !s.Failing && s.Fleet.Known() {
			require.Equal(t, 4, w.Start, "three are frozen, a fourth is new")
			require.Equal(t, scaler.ForReserve, w.For)
		} else {
			require.Zero(t, w.Start)
		}
		return r
	}
	cost, frozen := after(scaler.Cost, func(*scaler.State) {}), state(fleet(3))
	require.Equal(t, at(scaler.SurelyFrozen), cost.Next())
	require.Equal(t, 3, cost.Decide(cost.Next(), &frozen).Start, "to lose them costs more than to renew them")
	cost, frozen = after(scaler.Cost, func(*scaler.State) {}), state(fleet(2))
	require.Zero(t, cost.Decide(at(scaler.SurelyFrozen-1), &frozen).Start, "the third that was needed is gone: it is made when it is needed again")
	require.Equal(t, 2, cost.Decide(at(scaler.SurelyFrozen), &frozen).Start)
	after(scaler.Balanced, func(s *scaler.State) { s.Failing = true })
	after(scaler.Balanced, func(s *scaler.State) { s.Fleet = scaler.NewFleet() })
	r := after(scaler.Balanced, func(*scaler.State) {})

	three := state(fleet(3))
	require.Zero(t, r.Decide(at(7*time.Second), &three).Start, "a fourth was not to be had: not again at once")
	require.Equal(t, at(16*time.Second), r.Next())
	require.Equal(t, 4, r.Decide(r.Next(), &three).Start)
	require.Zero(t, r.Decide(at(17*time.Second), &three).Start)
	require.Equal(t, at(36*time.Second), r.Next(), "and less and less often")

	four := state(fleet(4))
	require.Zero(t, r.Decide(at(40*time.Second), &four).Start)
	require.Equal(t, at(scaler.SurelyFrozen), r.Next(), "before they expire")
	require.Equal(t, 3, r.Decide(r.Next(), &four).Start, "all that were needed, once more; a fourth was not")
	require.Zero(t, r.Decide(at(time.Hour), &four).Start, "nobody came for long")
	require.True(t, r.Next().IsZero(), "an idle function wakes nobody")
}

// A lone request to a function whose starts are dear pays one: that eleven come at once is unlikely.
func TestALoneRequestPaysOneInit(t *testing.T) {
	for _, preference := range []scaler.Preference{scaler.Cost, scaler.Balanced} {
		for _, concurrency := range []int{4, 10, 100} {
			r, s := frugal(preference), state(fleet(1))
			s.Concurrency, s.Leased, s.Ready, s.Live, s.Free = concurrency, 1, 1, 1, concurrency-1
			s.Arrivals = 1
			r.Decide(begin, &s)
			s.Leased, s.Ready, s.Live, s.Free, s.Departures = 0, 0, 0, 0, 1
			for now := time.Second; now < time.Hour; now += 7 * time.Second {
				require.LessOrEqual(t, r.Decide(at(now), &s).Start, 1, "after %v", now)
			}
		}
	}
}

// What was needed in each of the last windows is likely to be needed again, and what never was is the less likely the more it
// is.
func TestChancesOfPeaks(t *testing.T) {
	var p scaler.Peaks
	require.Zero(t, p.Chance(0))
	for n := range 8 {
		p.Observe(at(time.Duration(n)*scaler.SurelyFrozen), 20)
	}
	require.Greater(t, p.Chance(10), 0.99)
	require.Less(t, p.Chance(20), 0.2)
	require.Less(t, p.Chance(40), p.Chance(20)/3)
	p.Observe(at(9*scaler.SurelyFrozen), 60)
	require.InDelta(t, 0.2, p.Chance(40), 0.15, "once")
	p.Observe(at(100*scaler.SurelyFrozen), 0)
	require.Less(t, p.Chance(0), 0.3, "a function that nobody uses any more")
}

// How long environments last is learned from what is found and what is not.
func TestHowLongEnvironmentsLastIsLearned(t *testing.T) {
	f, now := scaler.NewFleet(), begin
	use := func(name string, after, took time.Duration) {
		now = now.Add(after)
		s := f.Begin(now)
		now = now.Add(took)
		f.Up(now, name, took, s)
		f.Ended(now, name, false)
	}
	for n := range 20 {
		use(fmt.Sprint(n), 2*time.Minute, time.Second) // each a new one: those before have gone within two minutes
	}
	require.Less(t, f.Relied(), 150*time.Second)
	for range 100 {
		use("lasting", 10*time.Minute, 25*time.Millisecond)
	}
	require.Greater(t, f.Relied(), 8*time.Minute)
}

// Whatever it sees, it wants nothing impossible, and once carried out wants nothing more.
func TestFrugalSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int { return rapid.IntRange(0, 50).Draw(t, name) }
		s := scaler.State{
			Min: n("min"), Max: n("max"), Concurrency: 1 + n("concurrency"), Waiting: n("waiting"), Ready: n("ready"),
			Starting: n("starting"), Leased: n("leased"), Fleet: fleet(n("frozen") / 10),
		}
		s.Idle = min(s.Ready, n("idle"))
		s.Rotating = min(s.Ready, n("rotating"))
		s.Unreplaced = min(s.Rotating, n("unreplaced"))
		s.Live = s.Ready + s.Starting
		rule := frugal(rapid.SampledFrom([]scaler.Preference{scaler.Cost, scaler.Balanced, scaler.Latency}).Draw(t, "preference"))
		w := rule.Decide(begin, &s)
		require.GreaterOrEqual(t, min(w.Start, w.Replace, w.Drain), 0)
		require.LessOrEqual(t, w.Replace, s.Unreplaced)
		require.LessOrEqual(t, w.Drain, s.Idle)
		s.Starting += w.Start + w.Replace
		s.Live += w.Start + w.Replace
		s.Unreplaced -= w.Replace
		again := rule.Decide(begin, &s)
		require.Zero(t, again.Start)
		require.Zero(t, again.Replace)
		if next := rule.Next(); !next.IsZero() {
			require.True(t, next.After(begin), "asked for ever")
		}
	})
}

func TestDecidingDoesNotAllocate(t *testing.T) {
	r, s := frugal(scaler.Balanced), state(fleet(20))
	now := busy(r, &s)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now += time.Millisecond
		s.Arrivals++
		s.Departures++
		r.Decide(at(now), &s)
	}))
}

// BenchmarkDecide is what the policy adds to each event.
func BenchmarkDecide(b *testing.B) {
	r, s := frugal(scaler.Balanced), state(fleet(20))
	now := busy(r, &s)
	b.ReportAllocs()
	for b.Loop() {
		now += 100 * time.Microsecond
		s.Arrivals++
		s.Departures++
		r.Decide(at(now), &s)
	}
}
