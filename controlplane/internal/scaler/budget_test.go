package scaler_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

const perStart = 0.2e-6

func claim(b *scaler.Budget, p scaler.Price, n int) int {
	claimed, _ := b.Claim(epoch, p, n)
	return claimed
}

func TestACeilingBoundsInstances(t *testing.T) {
	b, p := scaler.NewBudget(0.1), scaler.NewPrice(0.03, perStart)
	require.Equal(t, 3, claim(b, p, 5))
	n, until := b.Room(epoch, p)
	require.Zero(t, n)
	require.Zero(t, until, "something must end")
	require.InDelta(t, 0.09, b.PerHour(epoch), 1e-9)

	b.Release(epoch, p, 0)
	n, until = b.Room(epoch, p)
	require.Zero(t, n, "its start is not paid off yet")
	require.Equal(t, epoch.Add(25*time.Millisecond), until.Round(time.Microsecond), "24 ms for the start, 1 ms for rounding")
	n, _ = b.Room(until, p)
	require.Equal(t, 1, n)

	b.Release(until, p, time.Minute)
	n, _ = b.Room(until.Add(time.Minute-1), p)
	require.Equal(t, 1, n, "it may run on")
	n, _ = b.Room(until.Add(time.Minute), p)
	require.Equal(t, 2, n)
}

// A ceiling of so many instances is one of so many instances, however the prices round.
func TestACeilingOfWholeInstancesAllowsThem(t *testing.T) {
	for _, perHour := range []float64{0.06, 0.36, 0.06000012, 0.1, 0.7, 1.0 / 3} {
		for n := 1; n < 1000; n *= 3 {
			require.Equal(t, n, claim(scaler.NewBudget(perHour*float64(n)+1e-9), scaler.NewPrice(perHour, perStart), 2000))
			if perHour != 1.0/3 {
				require.Equal(t, n, claim(scaler.NewBudget(perHour*float64(n)), scaler.NewPrice(perHour, perStart), 2000))
			}
		}
	}
}

func TestNoCeilingAndNoPriceBoundNothing(t *testing.T) {
	p := scaler.NewPrice(1, perStart)
	none := scaler.NewBudget(0)
	require.Equal(t, 1000, claim(none, p, 1000))
	require.False(t, none.Bounded())
	require.Equal(t, 1000, claim(scaler.NewBudget(0.01), scaler.Price{}, 1000))
}

// A ceiling that comes, changes or goes while instances run counts what they claim.
func TestACeilingMayChange(t *testing.T) {
	p, b := scaler.NewPrice(1, perStart), scaler.NewBudget(0)
	require.Equal(t, 5, claim(b, p, 5))
	b.SetCeiling(3)
	require.Zero(t, claim(b, p, 1))
	require.InDelta(t, 5, b.PerHour(epoch), 1e-9, "what runs is not ended for it")
	b.SetCeiling(7)
	require.Equal(t, 2, claim(b, p, 9))
	for range 7 {
		b.Release(epoch, p, 0)
	}
	require.Zero(t, b.PerHour(epoch.Add(time.Hour)))
	b.SetCeiling(0)
	require.Equal(t, 9, claim(b, p, 9))
}

func TestTheCeilingThatBindsIsNamed(t *testing.T) {
	s := scaler.Settings{Max: 9, StartsInProgress: 9, StartsBurst: 9, Price: scaler.NewPrice(0.5, perStart), DollarsPerHour: 1}
	_, block := scaler.NewGuards(s, 1).Take(epoch, scaler.Load{}, 3)
	require.Equal(t, scaler.Dollars, block.Reason)
	s.Total = scaler.NewBudget(0.6)
	g := scaler.NewGuards(s, 1)
	n, block := g.Take(epoch, scaler.Load{}, 3)
	require.Equal(t, 1, n)
	require.Equal(t, scaler.DollarsTotal, block.Reason)
	g.Reprice(scaler.NewPrice(0.05, perStart))
	n, _ = g.Take(epoch, scaler.Load{}, 9)
	require.Equal(t, 2, n, "what is left of the total")
}

// Functions look and claim at the same time.
func TestATotalHoldsWhoeverAsks(t *testing.T) {
	b, p := scaler.NewBudget(1), scaler.NewPrice(0.01, perStart)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				n := claim(b, p, 3)
				assert.LessOrEqual(t, b.PerHour(epoch), 1.0)
				for range n {
					b.Release(epoch, p, 0)
				}
				n, _ = b.Room(epoch, p)
				assert.LessOrEqual(t, n, 100)
			}
		})
	}
	all.Wait()
	require.Zero(t, b.PerHour(epoch.Add(time.Second)))
}

// Between a function's look at the total and its claim another one may have taken the rest: the claim says when to ask again.
func TestAClaimThatFallsShortSaysWhenToAskAgain(t *testing.T) {
	b, p := scaler.NewBudget(0.02), scaler.NewPrice(0.01, perStart)
	n, until := b.Claim(epoch, p, 3)
	require.Equal(t, 2, n)
	require.Zero(t, until, "some instance must end")
	b.Release(epoch, p, time.Minute)
	n, until = b.Claim(epoch, p, 1)
	require.Zero(t, n)
	require.Equal(t, epoch.Add(time.Minute), until)
	n, until = b.Claim(until, p, 1)
	require.Equal(t, 1, n)
	require.Zero(t, until)
}

// Whoever loses the last instance to another function hears when there may be one again, even if both have seen it free.
func TestTheLoserOfTheLastInstanceHearsWhenToAskAgain(t *testing.T) {
	p := scaler.NewPrice(0.01, perStart)
	for range 2000 {
		total := scaler.NewBudget(0.02)
		require.Equal(t, 1, claim(total, p, 1))
		total.Release(epoch, p, time.Minute)
		const functions = 4
		var taken [functions]int
		var blocks [functions]scaler.Block
		var all sync.WaitGroup
		begin := make(chan struct{})
		for k := range functions {
			g := scaler.NewGuards(scaler.Settings{Max: 9, StartsInProgress: 9, StartsBurst: 9, Price: p, Total: total}, 1)
			all.Go(func() {
				<-begin
				taken[k], blocks[k] = g.Take(epoch, scaler.Load{}, 1)
			})
		}
		close(begin)
		all.Wait()
		for k, n := range taken {
			want := scaler.Block{Reason: scaler.DollarsTotal, Until: epoch.Add(time.Minute)}
			if n == 1 {
				want = scaler.Block{}
			}
			require.Equal(t, want, blocks[k])
		}
	}
}

// A spender runs instances of one function and keeps the bill as Lambda does: a price for each start, and its time in whole
// milliseconds.
type spender struct {
	guards  *scaler.Guards
	perHour float64
	live    []time.Time // starts
	claims  []scaler.Price
}

// A charge is a part of the bill: at a moment, or evenly over a time.
type charge struct {
	from, until time.Time
	dollars     float64
}

// by is how much of it is spent by then.
func (c charge) by(t time.Time) float64 {
	switch {
	case t.Before(c.from):
		return 0
	case !t.Before(c.until):
		return c.dollars
	}
	return c.dollars * float64(t.Sub(c.from)) / float64(c.until.Sub(c.from))
}

// In no window, of an hour or of any other length, is more spent than the ceiling allows for that long, and the starts of
// the instances that fit under the ceiling.
func TestSpendingIsBoundedInEveryWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ceiling := rapid.Float64Range(0.02, 2).Draw(t, "ceiling")
		total := scaler.NewBudget(ceiling)
		var spenders []*spender
		slack := 0.0
		for range rapid.IntRange(1, 3).Draw(t, "functions") {
			perHour := rapid.Float64Range(0.006, 0.6).Draw(t, "per hour")
			settings := scaler.Settings{
				Max: 1000, StartsInProgress: 1000, StartsPerSecond: 1000, StartsBurst: 1000,
				Total: total, Price: scaler.NewPrice(perHour, perStart),
			}
			if rapid.Bool().Draw(t, "own ceiling") {
				settings.DollarsPerHour = ceiling / 2
			}
			spenders = append(spenders, &spender{guards: scaler.NewGuards(settings, 1), perHour: perHour})
			slack = max(slack, ceiling/perHour*(perStart+perHour/3.6e6))
		}
		now := epoch
		var charges []charge
		moments := []time.Time{now}
		end := func(s *spender, n int) {
			from := s.live[n]
			life := (now.Sub(from) + time.Millisecond - 1).Truncate(time.Millisecond)
			charges = append(charges, charge{from, from, perStart}, charge{from, from.Add(life), life.Hours() * s.perHour})
			s.guards.Release(now, s.claims[n], 0)
			s.live, s.claims = slices.Delete(s.live, n, n+1), slices.Delete(s.claims, n, n+1)
		}
		t.Repeat(map[string]func(*rapid.T){
			"pass": func(t *rapid.T) {
				limit := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(t, "scale")
				now = now.Add(time.Duration(rapid.Int64Range(1, int64(limit)).Draw(t, "ns")))
				moments = append(moments, now)
			},
			"start": func(t *rapid.T) {
				s := rapid.SampledFrom(spenders).Draw(t, "function")
				n, _ := s.guards.Take(now, scaler.Load{Live: len(s.live)}, rapid.IntRange(1, 50).Draw(t, "want"))
				for range n {
					s.live, s.claims = append(s.live, now), append(s.claims, s.guards.Price())
				}
			},
			"end": func(t *rapid.T) {
				s := rapid.SampledFrom(spenders).Draw(t, "function")
				for range rapid.IntRange(0, len(s.live)).Draw(t, "ends") {
					end(s, 0)
				}
			},
			"churn": func(t *rapid.T) {
				s := rapid.SampledFrom(spenders).Draw(t, "function")
				for range 50 {
					n, _ := s.guards.Take(now, scaler.Load{Live: len(s.live)}, 1)
					if n == 1 {
						s.live, s.claims = append(s.live, now), append(s.claims, s.guards.Price())
					}
					now = now.Add(time.Millisecond)
					if len(s.live) > 0 {
						end(s, len(s.live)-1)
					}
				}
				moments = append(moments, now)
			},
			"": func(t *rapid.T) {
				rate := 0.0
				for _, s := range spenders {
					rate += float64(len(s.live)) * s.perHour
				}
				require.LessOrEqual(t, rate, ceiling*(1+1e-9), "at any moment")
			},
		})
		for _, s := range spenders {
			for len(s.live) > 0 {
				end(s, 0)
			}
		}
		spent := func(until time.Time) float64 {
			sum := 0.0
			for _, c := range charges {
				sum += c.by(until)
			}
			return sum
		}
		for _, until := range moments {
			for _, window := range []time.Duration{time.Second, time.Minute, time.Hour} {
				from := until.Add(-window)
				bound := ceiling*window.Hours() + slack
				require.LessOrEqual(t, spent(until)-spent(from.Add(-1)), bound*(1+1e-9), "in %s", window)
			}
		}
	})
}
