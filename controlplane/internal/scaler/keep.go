package scaler

import "time"

// keepShares are the times that a Keeper chooses from, in units of a restart's cost. Keeping an instance for exactly that cost is
// at most twice as expensive as knowing the future (the ski rental problem). The others do better if most pauses are shorter, or
// longer.
var keepShares = [...]float64{0, 0.25, 0.5, 1, 2}

const (
	rental     = 3    // index of the keepShares to begin with
	keepMemory = 0.95 // how much earlier pauses still count after one more
)

// A Keeper learns how long to keep an idle instance. For each pause it looks at how long it took until as many instances were
// needed again, and at what each choice would have cost. It takes the choice that would have cost least lately.
type Keeper struct {
	needed int
	since  []time.Time              // when the need fell below each number of instances, the highest number first
	costs  [len(keepShares)]float64 // of each choice, in units of a restart's cost
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

// Observe says how many instances are needed now, and what a restart costs, as time for which an idle instance costs the same.
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

// learn adds the costs of a pause, which is in units of a restart's cost.
func (k *Keeper) learn(pause float64) {
	for n, share := range keepShares {
		cost := pause
		if pause > share {
			cost = share + 1
		}
		k.costs[n] = k.costs[n]*keepMemory + cost
	}
}

// Keep is how long to keep an idle instance.
func (k *Keeper) Keep(restart time.Duration) time.Duration {
	best := rental
	for n, cost := range k.costs {
		if cost < k.costs[best] {
			best = n
		}
	}
	return time.Duration(keepShares[best] * float64(restart))
}
