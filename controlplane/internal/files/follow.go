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

// Follow calls changed while the file holds something else than known, the Sum of what was last read there, by whomever, until ctx ends.
// Like all changes these are seen at the second look that finds them. If known is zero, changed is called at once.
func Follow(ctx context.Context, name string, known func() Digest, changed func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var seen Digest
	for {
		sum := Sum(name)
		if last := known(); last == (Digest{}) || sum == seen && sum != last {
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
