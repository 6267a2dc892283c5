package lifecycle

import (
	"context"
	"time"
)

// Hooks tell the app that its environment is about to be frozen, and that it was thawed. Each is called alternately: Freeze
// after an invocation, when nothing is in flight any more, and Thaw before the next one lets a request in. Neither is called
// when the environment ends. An error is logged, and changes nothing. Nil: the app is not told.
type Hooks struct {
	Freeze, Thaw func(context.Context) error
	Limit        time.Duration // of each call; 0: DefaultHookLimit
}

// DefaultHookLimit is how long a hook may take. That time is billed.
const DefaultHookLimit = 2 * time.Second

// slowThaw is how long a thaw may take before relays are told that it is waited for.
const slowThaw = 10 * time.Millisecond

// rest prepares for a freeze: the app is told, if it was told of the thaw before, and what is left of ours is closed.
func (e *Environment) rest(ctx context.Context, deadline time.Time) {
	if !e.asleep && ctx.Err() == nil {
		e.asleep = true
		e.call(ctx, "freeze", e.Hooks.Freeze, deadline)
	}
	e.settle()
}

func (e *Environment) settle() {
	if e.Settle != nil {
		e.Settle()
	}
}

// wake tells the app of the thaw, once for each time that it was told of a freeze.
func (e *Environment) wake(ctx context.Context, deadline time.Time) {
	if e.asleep {
		e.asleep = false
		e.call(ctx, "thaw", e.Hooks.Thaw, deadline)
	}
}

// ready returns what must be waited for before requests may reach the app; nil: nothing.
func (e *Environment) ready(deadline time.Time) func(context.Context, func(string)) error {
	if !e.asleep || e.Hooks.Thaw == nil {
		e.asleep = false
		return e.Ready
	}
	return func(ctx context.Context, say func(string)) error {
		slow := time.AfterFunc(slowThaw, func() { say("the app is told of the thaw") })
		e.wake(ctx, deadline)
		slow.Stop()
		if e.Ready == nil {
			return nil
		}
		return e.Ready(ctx, say)
	}
}

// call runs a hook for as long as it may take: half of the time that is left, at most, since the invocation needs the rest. One
// that does not heed its context is left behind.
func (e *Environment) call(ctx context.Context, what string, hook func(context.Context) error, deadline time.Time) {
	if hook == nil {
		return
	}
	limit := e.Hooks.Limit
	if limit == 0 {
		limit = DefaultHookLimit
	}
	if !deadline.IsZero() {
		limit = min(limit, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- hook(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		e.Logger.Warn("the app was told and did not follow", "what", what, "error", err)
	}
}
