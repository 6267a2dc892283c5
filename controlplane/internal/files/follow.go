package files

import (
	"context"
	"time"
)

// Follow calls changed when it begins, and whenever the file holds something else than before, or cannot be read any more, until
// ctx ends. Like all changes these are seen at the second look that finds them.
func Follow(ctx context.Context, name string, changed func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var told, seen digest
	for {
		_, sum, _ := read([]string{name})
		if sum == seen && sum != told || told == (digest{}) {
			told = sum
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
