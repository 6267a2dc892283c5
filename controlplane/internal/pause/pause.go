// Package pause waits for a time that a context, or another event, can cut short.
package pause

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends, which it reports by false.
func For(ctx context.Context, d time.Duration) bool { return Unless(ctx, d, nil) }

// Unless waits for d, until wake delivers, or until ctx ends, which it reports by false.
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
