// Package pause waits for a while, and not longer than somebody wants.
package pause

import (
	"context"
	"time"
)

// For waits for d, and tells whether ctx goes on.
func For(ctx context.Context, d time.Duration) bool { return Unless(ctx, d, nil) }

// Unless waits for d, or until something comes from wake, and tells whether ctx goes on.
func Unless(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}
