package scaler

import "time"

// keepShares are the times that a Keeper chooses from, as parts of what a restart costs. Keeping for as long as that costs
// at most twice what could be had by knowing the future (ski rental); the others do better where pauses are mostly
// shorter, or mostly longer.
var keepShares = [...]float64{0, 0.25, 0.5, 1, 2}

const (
	rental     = 3    // of keepShares: the one to begin with
	keepMemory = 0.95 // weight of what earlier pauses taught, per pause
)

// A Keeper learns for how long an instance that is not needed should be kept: it looks at how long it took until as many
// were needed again, and at what each choice would have cost then.
type Keeper struct {
	needed int
	since  []time.Time              // when the need fell below each number of instances, the highest first in
	costs  [len(keepShares)]float64 // of each choice, in restarts
}

// NewKeeper returns a keeper that has seen nothing.
func NewKeeper() Keeper {
	k := Keeper{}
	for n := range k.costs {
		k.costs[n] = 1
	}
	k.costs[rental] = 0
	return k
}

// Observe says how many instances are needed now, and what it costs to have one again, in time that one is kept.
func (k *Keeper) Observe(now time.Time, needed int, restart time.Duration) {
	for ; k.needed > needed; k.needed-- {
		k.since = append(k.since, now)
	}
	for ; k.needed < needed; k.needed++ {
		if n := len(k.since); n > 0 {
			k.learn(float64(now.Sub(k.since[n-1])) / float64(max(restart, 1)))
			k.since = k.since[:n-1]
		}
	}
}

// learn takes in a pause, measured in restarts.
func (k *Keeper) learn(pause float64) {
	for n, share := range keepShares {
		cost := pause
		if pause > share {
			cost = share + 1
		}
		k.costs[n] = k.costs[n]*keepMemory + cost
	}
}

// Keep is for how long to keep an instance.
func (k *Keeper) Keep(restart time.Duration) time.Duration {
	best := rental
	for n, cost := range k.costs {
		if cost < k.costs[best] {
			best = n
		}
	}
	return time.Duration(keepShares[best] * float64(restart))
}
