package function

import (
	"context"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
)

// work is an invocation on its way through an environment. It has two ends: the caller has the answer when the runtime
// has given it, and the environment is free when the runtime and the extensions have asked for their next event.
type work struct {
	inv   environment.Invocation
	front ledger.Front

	answer   environment.Result // valid once answered is closed
	answered chan struct{}      // closed when the runtime has answered; never for an invocation that ends without an answer
	result   environment.Result // of the environment, and what is billed; valid once done is closed
	done     chan struct{}
}

func newWork(front ledger.Front, inv environment.Invocation) *work {
	w := &work{inv: inv, front: front, answered: make(chan struct{}), done: make(chan struct{})}
	w.inv.Answered = func(r environment.Result) {
		w.answer = r
		close(w.answered)
	}
	return w
}

// handBack is how long an answer waits for its environment to be free again. A runtime asks for its next event within
// a millisecond of its answer as a rule; on Lambda the caller is further away than that, so that its next invocation finds
// the environment.
const handBack = 20 * time.Millisecond

// wait blocks until the caller may have the answer: with the log only when the invocation is over, because its REPORT line
// is the log's last. The error is ctx's.
func (w *work) wait(ctx context.Context, log bool) (environment.Result, error) {
	answered := w.answered
	if log {
		answered = nil
	}
	select {
	case <-w.done:
		return w.outcome(), nil
	case <-answered:
		return w.early(), nil
	case <-ctx.Done():
		return environment.Result{}, ctx.Err()
	}
}

// early is the answer of an invocation that may go on.
func (w *work) early() environment.Result {
	over := time.NewTimer(handBack)
	defer over.Stop()
	select {
	case <-w.done:
		return w.outcome()
	case <-over.C:
		return w.answer
	}
}

// outcome is the result for the caller: an answer that was given stands, however the invocation ended afterwards.
func (w *work) outcome() environment.Result {
	r := w.result
	select {
	case <-w.answered:
		r.Outcome, r.ErrorType, r.Payload = w.answer.Outcome, w.answer.ErrorType, w.answer.Payload
	default:
	}
	return r
}
