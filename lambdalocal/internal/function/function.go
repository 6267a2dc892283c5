// Package function places the invocations of one function on its environments: an idle one if there is any, else a new
// one, up to the concurrency limit.
package function

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A Config is one function.
type Config struct {
	environment.Config
	MaxConcurrency int
	ColdStart      func() time.Duration // from placement to the start of init: called once per environment
	IdleExpiry     func() time.Duration // how long an idle environment is kept: called once per freeze
	Ports          *environment.Ports
	// Faults on demand: whether an environment dies in its init, called once per environment, and whether and when it is
	// killed under an invocation that it begins to serve, called once per invocation.
	InitFails func() bool
	Killed    func() (kill bool, after time.Duration)
	// Around is called for each invocation, whichever way it came, with what runs it and returns as Invoke does.
	Around func(context.Context, func(context.Context) (environment.Result, error)) (environment.Result, error)
}

// A Function has environments. Each environment belongs to one goroutine from its creation to its end.
type Function struct {
	cfg   Config
	lives sync.WaitGroup // goroutines that own environments

	mu       sync.Mutex
	closed   bool
	counters Counters
	all      map[string]*life
	idle     []*life // frozen, most recently used last
	busy     int     // environments with an invocation, init included
}

// New returns a function without environments.
func New(cfg Config) *Function {
	return &Function{cfg: cfg, all: map[string]*life{}, counters: Counters{Outcomes: map[environment.Outcome]int{}}}
}

// Invoke runs one invocation and waits for its end. The invocation goes on when ctx ends. The error is a
// *serviceerror.Error, or ctx's.
func (f *Function) Invoke(ctx context.Context, inv environment.Invocation) (environment.Result, error) {
	return f.cfg.Around(ctx, func(ctx context.Context) (environment.Result, error) { return f.run(ctx, inv) })
}

func (f *Function) run(ctx context.Context, inv environment.Invocation) (environment.Result, error) {
	w := &work{inv: inv, done: make(chan struct{})}
	if err := f.place(w); err != nil {
		return environment.Result{}, err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return environment.Result{}, ctx.Err()
	}
	if w.result.Outcome == environment.Interrupted {
		return environment.Result{}, serviceerror.New(serviceerror.TypeService, "the environment was shut down during the invocation")
	}
	return w.result, nil
}

// place hands the work to an idle environment or creates one for it.
func (f *Function) place(w *work) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refusalLocked(); err != nil {
		return err
	}
	l := f.popIdleLocked()
	if l == nil {
		var err error
		if l, err = f.createLocked(); err != nil {
			return serviceerror.New(serviceerror.TypeService, "%v", err)
		}
		f.counters.Cold++
	} else {
		f.counters.Warm++
	}
	f.counters.Started++
	f.busy++
	l.work <- w // has room: the environment had none
	return nil
}

func (f *Function) refusalLocked() error {
	switch {
	case f.closed:
		return serviceerror.New(serviceerror.TypeService, "lambdalocal is shutting down")
	case f.busy >= f.cfg.MaxConcurrency:
		f.counters.Throttled++
		return serviceerror.Throttled(serviceerror.ReasonFunctionLimit)
	}
	return nil
}

func (f *Function) popIdleLocked() *life {
	for len(f.idle) > 0 {
		l := f.idle[len(f.idle)-1]
		f.idle = f.idle[:len(f.idle)-1]
		if l.env.Alive() {
			return l
		}
	}
	return nil
}

func (f *Function) createLocked() (*life, error) {
	port, release, err := f.cfg.Ports.Take()
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	l := newLife(f, environment.New(&f.cfg.Config, hex.EncodeToString(id), port))
	f.all[l.env.ID()] = l
	f.lives.Go(func() {
		defer release()
		l.run()
	})
	return l, nil
}

// Refused counts an invocation that a fault refused, instead of Invoke.
func (f *Function) Refused() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counters.Faults++
}

// Close shuts every environment down, invocations or not, and returns when all have ended. Later invocations fail.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	for _, l := range f.all {
		l.retire()
	}
	f.mu.Unlock()
	f.lives.Wait()
}

// Kill ends the environment's processes at once, Retire shuts it down as at the end of its idle time, even during an
// invocation. Both return at once; they are false if there is no such environment.
func (f *Function) Kill(id string) bool {
	return f.with(id, func(l *life) { l.env.Kill() })
}

// Retire is described at Kill.
func (f *Function) Retire(id string) bool {
	return f.with(id, func(l *life) { l.retire() })
}

func (f *Function) with(id string, do func(*life)) bool {
	f.mu.Lock()
	l := f.all[id]
	f.mu.Unlock()
	if l != nil {
		do(l)
	}
	return l != nil
}

// finished counts a result, and makes the environment idle if it can serve again.
func (f *Function) finished(l *life, r environment.Result, reusable bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
	f.counters.end(r)
	if reusable {
		l.state = Frozen
		f.idle = append(f.idle, l)
	} else {
		l.state = Stopping
	}
}

// leaveIdle takes an environment out of service. It is false if an invocation was placed on it meanwhile.
func (f *Function) leaveIdle(l *life) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.idle, l)
	if i < 0 {
		return len(l.work) == 0
	}
	f.idle = slices.Delete(f.idle, i, i+1)
	l.state = Stopping
	return true
}

func (f *Function) setState(l *life, s State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.state = s
}

func (f *Function) forget(l *life) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, l.env.ID())
}
