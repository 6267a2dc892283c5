package function

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

var errRetired = errors.New("environment retired")

// A life is an environment and the goroutine that owns it.
type life struct {
	f           *Function
	version     *version
	env         *environment.Environment
	provisioned bool       // initialised without work
	work        chan *work // room for one

	ctx    context.Context // ends when the environment must
	retire context.CancelFunc

	// Guarded by Function.mu.
	state   State
	request string // id of the invocation under way, the latest of several
	beside  int    // invocations under way on Managed Instances
	leaving bool   // it ends when there are none

	served sync.WaitGroup // those invocations
}

func newLife(f *Function, v *version, env *environment.Environment, provisioned bool) *life {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &life{
		f: f, version: v, env: env, provisioned: provisioned, work: make(chan *work, 1), state: Init,
		ctx: ctx, retire: func() { cancel(errRetired) },
	}
}

// run owns the environment from its creation to its end. One that is not provisioned was created for an invocation that is
// on its way.
func (l *life) run() {
	if l.f.cfg.Managed != nil {
		l.runManaged()
		return
	}
	defer l.f.forget(l)
	defer l.retire()
	l.begin()
	if l.provisioned && !l.readied() {
		l.retire() // there is nothing to wait for
	}
	for w := l.next(); w != nil && l.serve(w); {
		w = l.next()
	}
	l.f.setState(l, Stopping)
	l.env.Shutdown(environment.Spindown)
	l.env.Close()
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

// readied freezes a provisioned environment after its init. It returns false if the init failed.
func (l *life) readied() bool {
	if l.env.Alive() {
		l.env.Freeze()
	}
	return l.f.initialised(l)
}

// serve runs one invocation, and returns false if the environment's time is over. The environment is frozen before the caller
// learns of the end, so that the caller's next invocation finds it; a caller that does not wait for the end may come too early. An
// environment that failed is shut down by then, and starts anew inside the next invocation.
func (l *life) serve(w *work) bool {
	l.f.busy(l, w.inv.ID)
	spare := l.threaten()
	w.result = l.env.Invoke(l.ctx, w.inv)
	spare()
	if !l.env.Alive() {
		l.env.Shutdown(reasonOf(w.result.Outcome))
	}
	reusable := l.env.Alive() && l.ctx.Err() == nil
	if reusable {
		l.env.Freeze()
	}
	reusable = l.f.finished(l, w, reusable)
	close(w.done)
	return reusable
}

func reasonOf(end environment.Outcome) environment.Reason {
	switch end {
	case environment.TimedOut:
		return environment.Timeout
	case environment.Interrupted:
		return environment.Spindown
	default:
		return environment.Failed
	}
}

// threaten schedules the kill of the environment during the invocation that begins, if a fault says so. spare cancels it.
func (l *life) threaten() (spare func()) {
	kill, after := l.f.cfg.Killed()
	if !kill {
		return func() {}
	}
	strike := time.AfterFunc(after, l.env.Kill)
	return func() { strike.Stop() }
}

// next waits for work and thaws the environment for it. It returns nil when the environment's time is over.
func (l *life) next() *work {
	var expired <-chan time.Time
	if !l.f.kept(l) {
		expiry := time.NewTimer(l.f.cfg.IdleExpiry())
		defer expiry.Stop()
		expired = expiry.C
	}
	select {
	case w := <-l.work:
		return l.thawed(w)
	case <-expired:
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
