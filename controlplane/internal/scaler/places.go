package scaler

import "time"

// Places bound the environments that exist, running and frozen. Lambda makes a new one only if none is frozen, so there are never
// more than instances that ran at once. Each instance takes a place from its start to its end, and for a moment longer, because
// its environment is not frozen at once.

// After its last answer an environment is not there at once for the next start: its runtime and extensions still finish their work.
// settles is how long that takes nearly always, and freezing how long it takes at most.
const (
	settles  = 100 * time.Millisecond
	freezing = 250 * time.Millisecond
)

// place is the price of an instance in a budget of places.
var place = Price{hour: 1, fee: settles}

// NewPlaces returns a budget of n instances, which functions of one account and region share.
func NewPlaces(n int) *Budget { return newPlaces(n) }

// running is how many running instances have a place.
func (b *Budget) running() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.claimed) - len(b.fading)
}

// newPlaces returns a budget of n places; 0: without a bound.
func newPlaces(n int) *Budget { return &Budget{ceiling: int64(max(0, n))} }
