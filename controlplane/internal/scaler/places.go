package scaler

import "time"

// Places bound the environments that exist, running and frozen. Lambda makes a new one only when none is frozen, so there are
// never more than instances ran at once; each instance takes a place from its start to its end. An environment is not frozen
// at the moment of its last answer: one that is invoked then would not be found. So a place stays taken for a moment longer.

// After its last answer an environment is not there at once for the next start: what its runtime and extensions do last is not over.
// settles is how long that takes nearly always, freezing the longest.
const (
	settles  = 100 * time.Millisecond
	freezing = 250 * time.Millisecond
)

// place is what an instance takes of them.
var place = Price{hour: 1, fee: settles}

// NewPlaces returns a budget of so many instances, for functions that share them: those of one account and region. Starts do not
// pass it, whatever the bounds of each function.
func NewPlaces(n int) *Budget { return newPlaces(n) }

// running is how many instances have a place, but for those that have ended.
func (b *Budget) running() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.claimed) - len(b.fading)
}

// newPlaces returns that many places; 0: as many as one likes.
func newPlaces(n int) *Budget { return &Budget{ceiling: int64(max(0, n))} }
