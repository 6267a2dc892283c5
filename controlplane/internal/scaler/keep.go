package scaler

import (
	"math/bits"
	"slices"
	"time"
)

// keepShares are the times that a Keeper chooses from, in units of a restart's cost. Keeping an instance for exactly that cost is
// at most twice as expensive as knowing the future (the ski rental problem). The others do better if most pauses are shorter, or
// longer.
var keepShares = [...]float64{0, 0.25, 0.5, 1, 2}

const (
	rental     = 3    // index of the keepShares to begin with
	keepMemory = 0.95 // how much earlier pauses still count after one more
)

// A Keeper learns how long to keep an idle instance. For each pause it looks at how long it took until as many instances were
// needed again, and at what each choice would have cost. It takes the choice that would have cost least lately. How long a pause is
// depends on how many instances are needed: the first is needed again sooner than the eighth, which only a burst needs. So it
// learns apart for one instance, for two and three, for four to seven, and so on.
type Keeper struct {
	needed int
	since  []time.Time // when the need fell below each number of instances, the highest number first
	costs  [keepLevels]keepCosts
}

// keepLevels is how many groups of instances a Keeper tells apart. The last one has all from 1,024 on.
const keepLevels = 11

// keepCosts are those of each choice, in units of a restart's cost.
type keepCosts [len(keepShares)]float64

// NewKeeper returns a keeper that has seen nothing.
func NewKeeper() Keeper {
	k := Keeper{}
	for g := range k.costs {
		for n := range keepShares {
			k.costs[g][n] = 1
		}
		k.costs[g][rental] = 0
	}
	return k
}

// of are the costs of the nth instance.
func (k *Keeper) of(n int) *keepCosts {
	return &k.costs[min(bits.Len(uint(max(1, n)))-1, keepLevels-1)]
}

// Observe says how many instances are needed now, and what a restart costs, as time for which an idle instance costs the same.
func (k *Keeper) Observe(now time.Time, needed int, restart time.Duration) {
	for ; k.needed > needed; k.needed-- {
		k.since = append(k.since, now)
	}
	for ; k.needed < needed; k.needed++ {
		if n := len(k.since); n > 0 {
			k.of(k.needed + 1).learn(float64(now.Sub(k.since[n-1])) / float64(max(restart, 1)))
			k.since = k.since[:n-1]
		}
	}
}

// learn adds the costs of a pause, which is in units of a restart's cost.
func (c *keepCosts) learn(pause float64) {
	for n, share := range keepShares {
		cost := pause
		if pause > share {
			cost = share + 1
		}
		c[n] = c[n]*keepMemory + cost
	}
}

// Span is how long to keep the nth instance while it is idle.
func (k *Keeper) Span(n int, restart time.Duration) time.Duration {
	costs, best := k.of(n), rental
	for choice, cost := range costs {
		if cost < costs[best] {
			best = choice
		}
	}
	return time.Duration(keepShares[best] * float64(restart))
}

// Kept is how many instances are needed, or were within the span of each, and when that number falls without an observation; zero: it
// does not.
func (k *Keeper) Kept(now time.Time, span func(n int) time.Duration) (instances int, until time.Time) {
	instances = k.needed
	for _, since := range slices.Backward(k.since) {
		ends := since.Add(span(instances + 1))
		if !now.Before(ends) {
			break
		}
		instances, until = instances+1, sooner(until, ends)
	}
	return instances, until
}
