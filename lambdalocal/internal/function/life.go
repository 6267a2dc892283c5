package function

import (
	"context"
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

var errRetired = errors.New("environment retired")

// A life is an environment and the goroutine that owns it.
type life struct {
	f    *Function
	env  *environment.Environment
	work chan *work // room for one

	ctx    context.Context // ends when the environment must
	retire context.CancelFunc

	state State // guarded by Function.mu
}

// work is an invocation on its way through an environment.
type work struct {
	inv    environment.Invocation
	result environment.Result // valid once done is closed
	done   chan struct{}
}

func newLife(f *Function, env *environment.Environment) *life {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &life{
		f: f, env: env, work: make(chan *work, 1), state: Init,
		ctx: ctx, retire: func() { cancel(errRetired) },
	}
}

// run owns the environment from its creation, for an invocation that is on its way, to its end.
func (l *life) run() {
	defer l.f.forget(l)
	defer l.retire()
	l.begin()
	reason := l.serveAll()
	l.f.setState(l, Stopping)
	l.env.Shutdown(reason)
}

func (l *life) serveAll() (reason environment.Reason) {
	for w := l.next(); w != nil; w = l.next() {
		if reason := l.serve(w); reason != "" {
			return reason
		}
	}
	return environment.Spindown
}

func (l *life) begin() {
	delay := time.NewTimer(l.f.cfg.ColdStart())
	defer delay.Stop()
	select {
	case <-delay.C:
		if l.f.cfg.InitFails() {
			l.env.Kill()
		}
		l.env.Init(l.ctx)
	case <-l.ctx.Done():
	}
}

// serve runs one invocation. The environment is frozen before the caller learns of the end, so that the caller's next
// invocation finds it. The result is empty, or the reason to shut down.
func (l *life) serve(w *work) (reason environment.Reason) {
	l.f.setState(l, Busy)
	spare := l.threaten()
	w.result = l.env.Invoke(l.ctx, w.inv)
	spare()
	reusable := l.env.Alive() && l.ctx.Err() == nil
	if reusable {
		l.env.Freeze()
	}
	l.f.finished(l, w.result, reusable)
	close(w.done)
	switch {
	case reusable:
		return ""
	case w.result.Outcome == environment.TimedOut:
		return environment.Timeout
	case w.result.Outcome == environment.Crashed, w.result.Outcome == environment.InitFailed:
		return environment.Failed
	default:
		return environment.Spindown
	}
}

// threaten kills the environment under the invocation that it begins, if a fault says so, unless spare is called before.
func (l *life) threaten() (spare func()) {
	kill, after := l.f.cfg.Killed()
	if !kill {
		return func() {}
	}
	strike := time.AfterFunc(after, l.env.Kill)
	return func() { strike.Stop() }
}

// next waits for work, thawing the environment for it. It is nil when the environment's time is over.
func (l *life) next() *work {
	expiry := time.NewTimer(l.f.cfg.IdleExpiry())
	defer expiry.Stop()
	select {
	case w := <-l.work:
		return l.thawed(w)
	case <-expiry.C:
	case <-l.env.Failed():
	case <-l.ctx.Done():
	}
	if l.f.leaveIdle(l) {
		return nil
	}
	return l.thawed(<-l.work)
}

func (l *life) thawed(w *work) *work {
	if l.env.Alive() {
		l.env.Thaw()
	}
	return w
}
