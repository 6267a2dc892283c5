package environment

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// Invoke runs one invocation to its end, however it ends. The function's timeout bounds it, a second init included. When
// ctx ends the processes are told to end and may still answer in their grace time. If the environment is not Alive afterwards its owner must shut it down.
func (e *Environment) Invoke(ctx context.Context, inv Invocation) Result {
	began := time.Now()
	deadline := began.Add(e.cfg.Timeout)
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errTimeout)
	defer cancel()
	e.line("platform", fmt.Sprintf("START RequestId: %s Version: %s", inv.ID, inv.Version))
	result := e.invoke(ctx, &invocation{Invocation: inv, deadline: deadline})
	result.Duration = time.Since(began)
	if e.cold {
		result.Cold, result.Init, e.cold = true, e.init, false
	}
	e.served.Add(1)
	e.report(inv.ID, &result)
	return result
}

func (e *Environment) invoke(ctx context.Context, inv *invocation) Result {
	answer, err := e.answer(ctx, inv)
	b := e.current()
	if b != nil {
		e.memory = max(e.memory, b.peakMemory())
	}
	if err == nil {
		return answer.result()
	}
	f := e.asFailure(err)
	if b != nil {
		b.fail(f)
	}
	return Result{Outcome: f.Outcome, ErrorType: f.Type, Payload: f.payload(inv.ID)}
}

func (e *Environment) answer(ctx context.Context, inv *invocation) (*answer, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if e.current() == nil { // init failed: once more, on this invocation's time
		began := time.Now()
		if err := e.start(ctx); err != nil {
			e.reportInit("invoke", time.Since(began), err)
			return nil, err
		}
	}
	return e.current().invoke(ctx, inv)
}

// report writes the END and REPORT lines and moves the log's tail into the result.
func (e *Environment) report(id string, r *Result) {
	r.Billed = time.Duration(math.Ceil(milliseconds(r.Duration+r.Init))) * time.Millisecond
	if r.Outcome != Succeeded && r.Outcome != Errored {
		e.line("platform", string(r.Payload))
	}
	e.line("platform", "END RequestId: "+id)
	var report strings.Builder
	fmt.Fprintf(&report, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB",
		id, milliseconds(r.Duration), r.Billed.Milliseconds(), e.cfg.MemoryMB, (e.memory+1<<20-1)>>20)
	if r.Init > 0 {
		fmt.Fprintf(&report, "\tInit Duration: %.2f ms", milliseconds(r.Init))
	}
	report.WriteString(status(r.Outcome, r.ErrorType))
	e.line("platform", report.String())
	r.Tail = e.tail.take()
}

// reportInit logs an init that failed. Phase is "init", or "invoke" for the second try.
func (e *Environment) reportInit(phase string, took time.Duration, err error) {
	f := e.asFailure(err)
	outcome := f.Outcome
	if f.Type == "Sandbox.Timedout" {
		outcome = TimedOut
	}
	e.line("platform", f.Message)
	e.line("platform", fmt.Sprintf("INIT_REPORT Init Duration: %.2f ms\tPhase: %s%s", milliseconds(took), phase, status(outcome, f.Type)))
}

func status(outcome Outcome, errorType string) string {
	switch outcome {
	case Succeeded, Errored:
		return ""
	case TimedOut:
		return "\tStatus: timeout"
	default:
		return "\tStatus: error\tError Type: " + errorType
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
