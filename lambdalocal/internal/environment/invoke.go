package environment

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// warnLines is how many lines of output a warning has at most, of the tail's 4 KiB.
const warnLines = 10

// Invoke runs one invocation to its end, however it ends. The function's timeout bounds it, a second init included. When
// ctx ends the processes are told to end and may still answer in their grace time. If the environment is not Alive
// afterwards its owner must shut it down.
func (e *Environment) Invoke(ctx context.Context, call Invocation) Result {
	began := time.Now()
	inv := &invocation{Invocation: call, began: began, deadline: began.Add(e.cfg.Timeout)}
	ctx, cancel := context.WithDeadlineCause(ctx, inv.deadline, timeoutError{e.cfg.Timeout})
	defer cancel()
	e.line("platform", fmt.Sprintf("START RequestId: %s Version: %s", inv.ID, inv.Version))
	result, failure := e.invoke(ctx, inv)
	result.Duration = time.Since(began)
	if result.Outcome == TimedOut { // what the end took is not the function's
		result.Duration = e.cfg.Timeout
	}
	e.bill(&result)
	e.served.Add(1)
	if failure != nil {
		e.explain(inv.ID, failure)
		e.warn("invocation failed", failure)
	}
	e.report(inv, &result)
	return result
}

func (e *Environment) invoke(ctx context.Context, inv *invocation) (Result, *Failure) {
	answer, err := e.answer(ctx, inv)
	b := e.current()
	if b != nil {
		e.memory = max(e.memory, b.peakMemory())
	}
	if err == nil {
		return answer.result(), nil
	}
	f := e.asFailure(err)
	if b != nil {
		b.fail(f)
	}
	return Result{Outcome: f.Outcome, ErrorType: f.Type, Payload: f.payload(inv.ID)}, f
}

func (e *Environment) answer(ctx context.Context, inv *invocation) (*answer, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if e.current() == nil { // init failed, or the processes were shut down: once more, on this invocation's time
		began := time.Now()
		if err := e.start(ctx, "invoke"); err != nil {
			e.reportInit("invoke", time.Since(began), err)
			if b := e.current(); b != nil {
				b.missed(inv, err)
			}
			return nil, err
		}
	}
	return e.current().invoke(ctx, inv)
}

// bill fills in what the invocation costs. The first one carries the init phase (assumed: bill).
func (e *Environment) bill(r *Result) {
	if e.cold {
		r.Cold, r.Init, e.cold = true, e.init, false
	}
	r.Billed = (r.Duration + r.Init + time.Millisecond - 1).Truncate(time.Millisecond)
	r.MaxMemory = e.memory
}

// explain writes to the log why there is no answer, in Lambda's words.
func (e *Environment) explain(id string, f *Failure) {
	switch {
	case f.Outcome == TimedOut:
		e.line("platform", fmt.Sprintf("%s %s %s", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), id, f.Message))
	case f.Body == nil:
		e.line("platform", f.text(id))
		e.line("platform", f.Type)
	}
}

// warn logs a failure, once, with the last lines of the processes' output. That an environment was told to end is not a failure.
func (e *Environment) warn(what string, f *Failure) {
	if f.Outcome == Interrupted || f == e.warned {
		return
	}
	e.warned = f
	log := e.log.WithError(f)
	if output := lastLines(e.output.take(), warnLines); output != "" {
		log = log.WithField("output", output)
	}
	log.Warn(what)
}

// report writes the END and REPORT lines (assumed: report-fields) and moves the log's tail into the result.
func (e *Environment) report(inv *invocation, r *Result) {
	e.line("platform", "END RequestId: "+inv.ID)
	var report strings.Builder
	fmt.Fprintf(&report, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB",
		inv.ID, milliseconds(r.Duration), r.Billed.Milliseconds(), e.cfg.MemoryMB, megabytes(r.MaxMemory))
	if r.Init > 0 {
		fmt.Fprintf(&report, "\tInit Duration: %.2f ms", milliseconds(r.Init))
	}
	report.WriteString(status(r.Outcome, r.ErrorType))
	e.line("platform", report.String())
	if b := e.current(); b != nil {
		if r.Outcome == Crashed || r.Outcome == InitFailed {
			b.events.Emit("platform.fault", "RequestId: "+inv.ID+" Process exited before completing request")
		}
		b.events.Emit("platform.end", map[string]any{"requestId": inv.ID})
		b.events.Emit("platform.report", e.reportRecord(inv, r))
	}
	r.Tail = e.tail.take()
}

// reportInit logs an init that failed. Phase is "init", or "invoke" for the second try.
func (e *Environment) reportInit(phase string, took time.Duration, err error) {
	f := e.asFailure(err)
	outcome := f.Outcome
	if f.Type == sandboxTimedout {
		outcome = TimedOut
	} else {
		e.line("platform", f.Message)
	}
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

func megabytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }
