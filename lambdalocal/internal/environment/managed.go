package environment

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// On Lambda Managed Instances an environment serves several invocations at once, each in one of the runtime's workers, and is
// never frozen. Sources: "Understanding the Lambda Managed Instances execution environment" in the Lambda developer guide, and what
// AWS's runtime interface emulator does for them.
const managedInstances = "lambda-managed-instances"

// MaxTimeout is the most that an invocation may take while its caller waits. It may use that to the end (assumed: long-invocation).
const MaxTimeout = 15 * time.Minute

// timeout of the invocation: longer ones than MaxTimeout are of asynchronous invocations.
func (c *Config) timeout(call Invocation) time.Duration {
	if call.Asynchronous {
		return c.Timeout
	}
	return min(c.Timeout, MaxTimeout)
}

// Managed tells whether environments serve several invocations at once.
func (c *Config) Managed() bool { return c.Concurrency > 0 }

// Serve runs one invocation beside others, in an environment whose configuration is Managed and whose Init has returned. Reserve
// comes before it. It may be called from any goroutine. A timeout concerns only the invocation: the runtime continues, and what it answers then is refused. If
// ctx ends, the invocation fails.
func (e *Environment) Serve(ctx context.Context, call Invocation) Result {
	began := time.Now()
	timeout := e.cfg.timeout(call)
	inv := &invocation{Invocation: call, began: began, deadline: began.Add(timeout), state: runtimeReady}
	ctx, cancel := context.WithDeadlineCause(ctx, inv.deadline, timeoutError{timeout})
	defer cancel()
	e.line("platform", fmt.Sprintf("START RequestId: %s Version: %s", inv.ID, inv.Version))
	a, err := e.serve(ctx, inv)
	var r Result
	if err == nil {
		r = a.result()
	} else {
		f := e.asFailure(err)
		r = Result{Outcome: f.Outcome, ErrorType: f.Type, Payload: f.payload(inv.ID)}
		e.explain(inv.ID, f)
		if f.Outcome == TimedOut { // any other failure is the environment's, which logs it once
			e.log.WithError(f).Warn("invocation failed")
		}
	}
	r.Duration = time.Since(began)
	e.served.Add(1)
	e.reportBeside(inv, &r)
	return r
}

func (e *Environment) serve(ctx context.Context, inv *invocation) (*answer, error) {
	b := e.current()
	if b == nil {
		return nil, runtimeExited("")
	}
	return b.serve(ctx, inv)
}

func (e *Environment) reportBeside(inv *invocation, r *Result) {
	e.line("platform", fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms%s", inv.ID, milliseconds(r.Duration), status(r.Outcome, r.ErrorType)))
	b := e.current()
	if b == nil {
		return
	}
	word, kind := statusWord(r.Outcome, r.ErrorType)
	b.events.Emit("platform.report", invokeDoneRecord{
		RequestID: inv.ID, Status: word, ErrorType: kind, Tracing: inv.tracing(),
		Metrics: map[string]any{"durationMs": asMillis(r.Duration)},
	})
}

// Free is how many more invocations the environment can take now: as many as it may serve at once, and as its runtime has workers.
// A worker is busy with an invocation also after that has timed out, until it has answered. One that asks for another instead is not:
// that shows where more are at work and wait than there can be.
func (e *Environment) Free() int {
	b := e.current()
	if b == nil || b.failure() != nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	late := min(len(b.late), max(0, e.cfg.Concurrency-b.waiting-b.runningLocked()))
	return min(e.cfg.Concurrency, b.workers) - b.reserved - len(b.beside) - late
}

// Reserve takes one of the Free places for a Serve that must follow, so that nobody else takes it meanwhile.
func (e *Environment) Reserve() {
	if b := e.current(); b != nil {
		b.update(func() { b.reserved++ })
	}
}

// CPU is the processor time that the processes have used.
func (e *Environment) CPU() (sum time.Duration) {
	if b := e.current(); b != nil {
		for _, c := range b.children() {
			sum += c.CPU()
		}
	}
	return sum
}

// serve hands the invocation to a worker and waits for its answer.
func (b *boot) serve(ctx context.Context, inv *invocation) (*answer, error) {
	defer inv.endStream()
	b.events.Emit("platform.start", startRecord(inv))
	b.update(func() { b.reserved, b.beside[inv.ID], b.queue = b.reserved-1, inv, append(b.queue, inv) })
	err := b.waitUnlessFailed(ctx, func() bool { return inv.answer != nil })
	b.update(func() { b.forget(inv) })
	return b.outcome(inv, err)
}

// forget is called with mu held.
func (b *boot) forget(inv *invocation) {
	delete(b.beside, inv.ID)
	b.queue = slices.DeleteFunc(b.queue, func(other *invocation) bool { return other == inv })
	if inv.delivered && inv.answer == nil {
		b.late[inv.ID] = true
	}
}

// takeBeside is take where there are several workers.
func (b *boot) takeBeside(ctx context.Context) (inv *invocation, refused *refusal, err error) {
	b.mu.Lock()
	if b.runtime == runtimeInitError {
		defer b.mu.Unlock()
		return nil, b.forbidTransitionLocked(runtimeReady), nil
	}
	b.runtime = runtimeReady
	b.waiting++
	b.workers = max(b.workers, b.waiting+b.runningLocked()+len(b.late))
	b.wakeLocked()
	b.mu.Unlock()
	err = b.wait(ctx, func() bool {
		if len(b.queue) == 0 {
			return false
		}
		inv, b.queue = b.queue[0], b.queue[1:]
		inv.delivered, inv.state = true, runtimeRunning
		b.waiting--
		return true
	})
	if err != nil {
		b.update(func() { b.waiting-- })
	}
	return inv, nil, err
}

// runningLocked counts the workers that have an invocation which has not timed out.
func (b *boot) runningLocked() (n int) {
	for _, inv := range b.beside {
		if inv.state == runtimeRunning {
			n++
		}
	}
	return n
}

// enterBesideLocked is enter where there are several workers.
func (b *boot) enterBesideLocked(id string, to runtimeState) (*invocation, *refusal) {
	inv := b.beside[id]
	switch {
	case inv == nil && b.late[id]:
		delete(b.late, id)
		return nil, &refusal{http.StatusGone, "InvokeTimeout", "Invoke timeout"}
	case inv == nil || inv.state != runtimeRunning:
		return nil, &refusal{http.StatusBadRequest, "InvalidRequestID", "Invalid request ID"}
	}
	inv.state = to
	return inv, nil
}

// refusedBeside refuses an extension that wants events which it cannot get on Managed Instances: of invocations, and any if it is
// internal.
func (x *extension) refusedBeside() *refusal {
	switch {
	case !x.external && len(x.wants) > 0:
		return forbid("Extension.InvalidEventType", "No events allowed for internal extensions")
	case slices.Contains(x.wants, invoke):
		return forbid("Extension.InvalidEventType", "%s: ErrorInvalidEventType", strings.Join(x.wants, ", "))
	default:
		return nil
	}
}
