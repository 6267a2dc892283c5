package lifecycle

import (
	"context"
	"time"
)

// Hooks tell the app that its environment is about to be frozen, and that it was thawed. They are called alternately: Freeze
// after an invocation, when no request is in flight any more, and Thaw before the next one lets a request in. Neither is called
// when the environment ends. An error is only logged. Nil: the app is not told.
type Hooks struct {
	Freeze, Thaw func(context.Context) error
	Limit        time.Duration // of each call; 0: DefaultHookLimit
}

// DefaultHookLimit is how long a hook may take. That time is billed.
const DefaultHookLimit = 2 * time.Second

// slowThaw is how long a thaw may take before relays are told that the instance waits for it.
const slowThaw = 10 * time.Millisecond

// rest prepares for a freeze. It tells the app, unless that was told already, and closes our own connections.
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

// wake tells the app about the thaw, once for each time that it was told about a freeze.
func (e *Environment) wake(ctx context.Context, deadline time.Time) {
	if e.asleep {
		e.asleep = false
		e.call(ctx, "thaw", e.Hooks.Thaw, deadline)
	}
}

// ready returns the function that waits until requests may reach the app; nil: they may now.
func (e *Environment) ready(deadline time.Time) func(context.Context, func(string)) error {
	if !e.asleep || e.Hooks.Thaw == nil {
		e.asleep = false
		return e.Ready
	}
	return func(ctx context.Context, say func(string)) error {
		slow := time.AfterFunc(slowThaw, func() { say("the app is being told about the thaw") })
		e.wake(ctx, deadline)
		slow.Stop()
		if e.Ready == nil {
			return nil
		}
		return e.Ready(ctx, say)
	}
}

// call runs a hook for at most its limit, and at most half of the time that is left, because the invocation needs the rest. It does
// not wait for a hook that ignores its context.
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
		e.Logger.Warn("the app's hook failed", "hook", what, "error", err)
	}
}
