package scaler

import (
	"math"
	"slices"
	"sync"
	"time"
)

// picodollars is how many units of money make a dollar. Whole units make claims add up exactly. They are small, so that rounding
// never forbids an instance that the ceiling allows.
const picodollars = 1e12

// A Price is what an instance costs. The zero value costs nothing.
type Price struct {
	hour int64         // picodollars per hour
	fee  time.Duration // how long the instance could run for what its start costs
}

// NewPrice returns the price of an instance that costs perHour dollars an hour from its start to its end, and perStart dollars once
// for its start. A millisecond is added to the fee, because Lambda rounds up to one.
func NewPrice(perHour, perStart float64) Price {
	if perHour <= 0 {
		return Price{}
	}
	return Price{
		hour: int64(math.Round(perHour * picodollars)),
		fee:  time.Duration(math.Ceil(perStart/perHour*float64(time.Hour))) + time.Millisecond,
	}
}

// PerHour is what the instance costs an hour, in dollars.
func (p Price) PerHour() float64 { return float64(p.hour) / picodollars }

// Fee is how long the instance could run for what its start costs.
func (p Price) Fee() time.Duration { return p.fee }

// A Budget bounds what instances cost, in dollars per hour. Each running instance claims its hourly price. After it ends the
// claim is held for the time of its fee, to pay for its start. All claims together never exceed the ceiling. So no hour costs
// more than the ceiling, but for the start fees of instances that still run when the hour ends.
//
// A nil Budget has no ceiling. A ceiling of 0 means none as well, but claims are counted, because a ceiling may be set later.
// Functions may share a budget: unlike the rest of this package it is safe for concurrent use.
type Budget struct {
	mu      sync.Mutex // guards the fields below
	ceiling int64      // picodollars per hour; 0: none
	claimed int64      // fading claims included
	fading  []fade     // held claims of instances that have ended, the first to end first
}

// A fade is a claim that ends by itself.
type fade struct {
	until time.Time
	hour  int64
}

// NewBudget returns a budget of perHour dollars per hour; 0: without a ceiling.
func NewBudget(perHour float64) *Budget { return &Budget{ceiling: ceilingOf(perHour)} }

func ceilingOf(perHour float64) int64 { return int64(math.Round(max(0, perHour) * picodollars)) }

// SetCeiling gives the budget another ceiling, in dollars per hour; 0: none. Claims stay, even if they exceed it.
func (b *Budget) SetCeiling(perHour float64) { b.bound(ceilingOf(perHour)) }

func (b *Budget) bound(ceiling int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ceiling = ceiling
}

// Bounded reports whether there is a ceiling.
func (b *Budget) Bounded() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ceiling > 0
}

// holds is how many instances of that price the ceiling allows in all.
func (b *Budget) holds(p Price) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ceiling == 0 || p.hour == 0 {
		return math.MaxInt
	}
	return int(b.ceiling / p.hour)
}

// Room is how many instances of that price may start now. If none may, until is when that changes by itself; zero: an instance must
// end first.
func (b *Budget) Room(now time.Time, p Price) (n int, until time.Time) {
	if b == nil || p.hour == 0 {
		return math.MaxInt, time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n = b.room(now, p); n == 0 {
		until = b.fades()
	}
	return n, until
}

func (b *Budget) room(now time.Time, p Price) int {
	b.settle(now)
	if b.ceiling == 0 {
		return math.MaxInt
	}
	return int(max(0, b.ceiling-b.claimed) / p.hour)
}

// fades is when the next claim ends by itself; zero: none does.
func (b *Budget) fades() time.Time {
	if len(b.fading) == 0 {
		return time.Time{}
	}
	return b.fading[0].until
}

// settle ends the held claims whose time is over.
func (b *Budget) settle(now time.Time) {
	n := 0
	for n < len(b.fading) && !now.Before(b.fading[n].until) {
		b.claimed -= b.fading[n].hour
		n++
	}
	b.fading = slices.Delete(b.fading, 0, n)
}

// Claim claims the price of up to n instances, and returns for how many. If that is less than n, until is when more may become
// possible by itself; zero: an instance must end first.
func (b *Budget) Claim(now time.Time, p Price, n int) (claimed int, until time.Time) {
	if b == nil || p.hour == 0 {
		return n, time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	claimed = min(n, b.room(now, p))
	b.claimed += int64(claimed) * p.hour
	if claimed < n {
		until = b.fades()
	}
	return claimed, until
}

// refund takes back the claims of n starts that were not made.
func (b *Budget) refund(p Price, n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed -= int64(n) * p.hour
}

// inherit claims the price of an instance that already runs, even beyond the ceiling.
func (b *Budget) inherit(now time.Time, p Price) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle(now)
	b.claimed += p.hour
}

// Release says that an instance has ended for which the price was claimed. The claim is held for the time of its fee, or for hold
// if that is longer. A hold is for an instance that may still run unseen.
func (b *Budget) Release(now time.Time, p Price, hold time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle(now)
	f := fade{until: now.Add(max(p.fee, hold)), hour: p.hour}
	at, _ := slices.BinarySearchFunc(b.fading, f, func(a, b fade) int { return a.until.Compare(b.until) })
	b.fading = slices.Insert(b.fading, at, f)
}

// PerHour is what is claimed now, in dollars per hour.
func (b *Budget) PerHour(now time.Time) float64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle(now)
	return float64(b.claimed) / picodollars
}
