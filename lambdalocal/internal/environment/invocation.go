package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// An Invocation is what a caller asks for.
type Invocation struct {
	ID            string // request id
	ARN           string // as invoked, qualifier included
	Version       string // executed version
	TraceID       string
	ClientContext string // JSON, may be empty
	Payload       []byte
	// Stream takes the chunks of an answer that the runtime streams, as they come. What it took is not in the Result's
	// Payload. Nil: the caller wants the answer in one piece.
	Stream func(chunk []byte) error
}

// An Outcome says in one word how an invocation ended.
type Outcome string

// The outcomes.
const (
	Succeeded   Outcome = "succeeded"
	Errored     Outcome = "error"       // the function answered with an error
	InitFailed  Outcome = "init_error"  // the second init failed too
	Crashed     Outcome = "crash"       // a process ended
	TimedOut    Outcome = "timeout"     // the function's timeout was over
	Interrupted Outcome = "interrupted" // the environment was shut down under it
)

// A Result is how an invocation ended.
type Result struct {
	Outcome   Outcome
	ErrorType string // empty if succeeded
	Payload   []byte // the function's answer or a description of the error, JSON
	Cold      bool
	Init      time.Duration // of a cold one, unless the init failed and was part of Duration
	Duration  time.Duration
	Billed    time.Duration // whole milliseconds
	Tail      []byte        // the last 4 KiB of the log
}

// A Failure ends an environment, and the invocation in it.
type Failure struct {
	Outcome Outcome
	Type    string // as in errorType: Runtime.ExitError
	Message string
	Body    []byte // what the function itself said about it, if it did
}

func (f *Failure) Error() string { return f.Type + ": " + f.Message }

func (f *Failure) payload(id string) []byte {
	if f.Body != nil {
		return f.Body
	}
	body, _ := json.Marshal(errorBody{Type: f.Type, Message: fmt.Sprintf("RequestId: %s Error: %s", id, f.Message)})
	return body
}

// errorBody is Lambda's JSON for errors of functions and of the Runtime and Extensions API.
type errorBody struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// An answer is what the runtime posted.
type answer struct {
	body      []byte
	errorType string // empty: a response
}

func (a *answer) result() Result {
	if a.errorType != "" {
		return Result{Outcome: Errored, ErrorType: a.errorType, Payload: a.body}
	}
	return Result{Outcome: Succeeded, Payload: a.body}
}

// asFailure makes a failure of whatever ended an invocation or an init early.
func (e *Environment) asFailure(err error) *Failure {
	var f *Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, errTimeout):
		return &Failure{
			Outcome: TimedOut, Type: "Sandbox.Timedout",
			Message: fmt.Sprintf("Task timed out after %.2f seconds", e.cfg.Timeout.Seconds()),
		}
	case errors.Is(err, errInitTimeout):
		return &Failure{Outcome: InitFailed, Type: "Sandbox.Timedout", Message: "init phase timed out"}
	default:
		return &Failure{Outcome: Interrupted, Type: "Sandbox.Failure", Message: err.Error()}
	}
}

func invalidEntrypoint(err error) *Failure {
	return &Failure{Outcome: InitFailed, Type: "Runtime.InvalidEntrypoint", Message: err.Error()}
}

func runtimeExited(reason string) *Failure {
	message := "Runtime exited without providing a reason"
	if reason != "" {
		message = "Runtime exited with error: " + reason
	}
	return &Failure{Outcome: Crashed, Type: "Runtime.ExitError", Message: message}
}

func extensionExited(name, reason string) *Failure {
	if reason == "" {
		reason = "exit status 0"
	}
	return &Failure{
		Outcome: Crashed, Type: "Extension.Crash",
		Message: fmt.Sprintf("extension %s exited: %s", name, reason),
	}
}
