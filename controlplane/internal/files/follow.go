package files

import (
	"context"
	"time"
)

// Sum returns the digest of what a file holds, or of why it cannot be read.
func Sum(name string) Digest {
	_, sum, _ := read([]string{name})
	return sum
}

// Follow calls changed while the file holds something else than last, the Sum of what was last read there, by whomever, until ctx ends.
// If that is to be read again, changed is called too. Like all changes these are seen at the second look that finds them: what was not
// there at the look before may be half written. If last is zero, changed is called at once.
func Follow(ctx context.Context, name string, known func() (last Digest, again bool), changed func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var seen Digest
	for {
		sum := Sum(name)
		if last, again := known(); last == (Digest{}) || sum == seen && (again || sum != last) {
			changed()
		}
		seen = sum
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
