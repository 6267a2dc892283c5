package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An Invocation is what a caller asks for.
type Invocation struct {
	ID              string // request id
	ARN             string // as invoked, qualifier included
	Version         string // executed version
	TraceID         string
	ClientContext   string // JSON, may be empty
	CognitoIdentity string // JSON, may be empty
	Payload         []byte
	Asynchronous    bool // no caller waits for the answer
	// Stream takes the chunks of the function's response, streamed by the function or not, as they come. What it took is
	// not in the Result's Payload. It is called from one goroutine at a time, never after Invoke has returned, and may keep
	// no slice that it was given. While it blocks the function is held up, and the end of the invocation too. After an
	// error it is not called again; the function goes on. Nil: the caller wants the answer in one piece.
	Stream func(chunk []byte) error
	// Kind takes the content type that the runtime gave a response that it streams, before the first call of Stream; empty if it
	// gave none. Nil: nobody wants to know.
	Kind func(contentType string)
	// Answered takes the function's answer as soon as the runtime has given all of it. The invocation goes on until the
	// runtime and the extensions have asked for their next event, and may still fail. It is called at most once, from another
	// goroutine, and must not block. Nil: the caller waits for the end.
	Answered func(Result)
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
	Payload   []byte // the function's answer, unless Stream got it, or a description of the error, JSON
	Cold      bool
	Init      time.Duration // of the init phase before a cold one, billed; zero if it failed: the second is part of Duration
	Duration  time.Duration
	Billed    time.Duration // whole milliseconds, rounded up
	MaxMemory int64         // peak of the environment so far, in bytes
	Tail      []byte        // the last 4 KiB of the log
}

// An invocation on its way through the runtime. But for the payload its fields are guarded by the boot's mu.
type invocation struct {
	Invocation
	deadline  time.Time
	delivered bool         // to the runtime
	state     runtimeState // of the worker that has it, where there are several
	answer    *answer

	began     time.Time
	offered   time.Time // to the runtime; zero: never
	responded time.Time // the first byte of the answer
	answered  time.Time // the last
	done      time.Time // the runtime has asked for the next event, or has failed
	idle      time.Time // so have the extensions, if there are some; zero: they have not
	produced  int       // bytes of the answer

	streaming sync.Mutex
	over      bool // guarded by streaming: Stream must not be called any more
}

// stream hands a chunk to the caller, unless the invocation has ended or the caller has gone.
func (inv *invocation) stream(chunk []byte) {
	inv.streaming.Lock()
	defer inv.streaming.Unlock()
	if !inv.over {
		inv.over = inv.Stream(chunk) != nil
	}
}

func (inv *invocation) endStream() {
	inv.streaming.Lock()
	defer inv.streaming.Unlock()
	inv.over = true
}

// A Failure ends an environment's processes, and the invocation in them.
type Failure struct {
	Outcome Outcome
	Type    string // as in errorType: Runtime.ExitError
	Message string
	Body    []byte // what the function itself said about it, if it did
}

func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// reason is what extensions learn of the failure.
func (f *Failure) reason() Reason {
	switch {
	case f.Outcome == Interrupted:
		return Spindown
	case f.Type == sandboxTimedout:
		return Timeout
	default:
		return Failed
	}
}

func (f *Failure) payload(id string) []byte {
	if f.Body != nil {
		return f.Body
	}
	return describe(f.Type, f.text(id))
}

func (f *Failure) text(id string) string {
	return fmt.Sprintf("RequestId: %s Error: %s", id, f.Message)
}

// errorBody is Lambda's JSON for errors of functions and of the Runtime and Extensions API.
type errorBody struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func describe(kind, message string) []byte {
	body, _ := json.Marshal(errorBody{Type: kind, Message: message})
	return body
}

// asFailure makes a failure of whatever ended an invocation or an init early.
func (e *Environment) asFailure(err error) *Failure {
	var f *Failure
	switch {
	case errors.As(err, &f):
		return f
	case isTimeout(err):
		return &Failure{Outcome: TimedOut, Type: sandboxTimedout, Message: err.Error()}
	case errors.Is(err, errInitTimeout):
		return &Failure{Outcome: InitFailed, Type: sandboxTimedout, Message: err.Error()}
	default:
		return &Failure{Outcome: Interrupted, Type: "Sandbox.Failure", Message: err.Error()}
	}
}

const sandboxTimedout = "Sandbox.Timedout"

func sandboxFailed(err error) *Failure {
	return &Failure{Outcome: InitFailed, Type: "Sandbox.Failure", Message: err.Error()}
}

func invalidEntrypoint(err error) *Failure {
	return &Failure{Outcome: InitFailed, Type: "Runtime.InvalidEntrypoint", Message: err.Error()}
}

func extensionNotLaunched(err error) *Failure {
	return &Failure{Outcome: InitFailed, Type: "Extension.LaunchError", Message: err.Error()}
}

func runtimeExited(reason string) *Failure {
	message := "Runtime exited without providing a reason"
	if reason != "" {
		message = "Runtime exited with error: " + reason
	}
	return &Failure{Outcome: Crashed, Type: "Runtime.ExitError", Message: message}
}

func outOfMemory() *Failure {
	return &Failure{Outcome: Crashed, Type: "Runtime.OutOfMemory", Message: "Runtime exited with error: signal: killed"}
}

func extensionExited(reason string) *Failure {
	if reason == "" {
		reason = "exit code 0"
	}
	return &Failure{Outcome: Crashed, Type: "Extension.Crash", Message: reason}
}
