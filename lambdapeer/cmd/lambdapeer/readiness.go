package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Pauses between two looks at an app that is starting: short at first, for those that start fast.
const (
	leastLook = 2 * time.Millisecond
	mostLook  = 50 * time.Millisecond
	oneLook   = 2 * time.Second // how long one may take
)

// readiness finds out whether the app takes requests. Once it did, it is not asked again.
type readiness struct {
	get   func(context.Context) (status int, err error)
	limit time.Duration
	ready bool
}

// wait blocks until the app answers below 500, for at most the limit. The error says what it did instead.
func (r *readiness) wait(ctx context.Context) error {
	if r.ready {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("not ready within %v", r.limit))
	defer cancel()
	var last error
	for pause := leastLook; ; pause = min(2*pause, mostLook) {
		if last = r.look(ctx, last); last == nil {
			r.ready = true
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		}
	}
}

// look asks once. An app that was cut off by ctx has not answered: what it did before counts.
func (r *readiness) look(ctx context.Context, last error) error {
	asking, cancel := context.WithTimeout(ctx, oneLook)
	defer cancel()
	status, err := r.get(asking)
	switch {
	case err != nil && ctx.Err() != nil && last != nil:
		return last
	case err != nil:
		return err
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("the app answers %d", status)
	}
	return nil
}
