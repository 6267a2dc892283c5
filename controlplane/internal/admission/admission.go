// Package admission has the words for how the admission of a request ends: dispatched, rejected (it never waited) or evicted (it
// waited, then left without a slot), and why. It imports nothing of ours, so both the shell and Envoy's stream can use it.
package admission

import (
	"errors"
	"time"
)

// A Request asks to be admitted.
type Request struct {
	Function string
	ID       string // unique, and the same when the request comes back; empty: it has none
	Method   string
	Path     string // its beginning, as the client sent it
	Stream   bool   // it will probably hold its slot for long, as its headers say
	// Began is when Envoy first got the request; zero if that is not known. Envoy's clock is another one where it is on another host.
	Began time.Time
	// RefusedBy is the id of the instance that had no slot for a request that has come back; empty if it comes for the first
	// time. Returned says that it has come back.
	RefusedBy string
	Returned  bool
}

// A Wait is what a request waited for before it got a slot.
type Wait struct {
	Instance string        // whose slot it got
	Arrived  time.Time     // zero if it did not wait
	Queue    time.Duration // time in the queue, in whole microseconds, so that it is the same wherever it is shown
	Start    Start         // the kind of start that it waited for
	Began    time.Time     // when that start began, which may be before the request arrived; zero if Start is NoStart
	Up       time.Time     // when the instance was ready; zero if Start is NoStart
}

// ForStart is how long the start was under way while the request was in the queue.
func (w Wait) ForStart() time.Duration {
	if w.Up.IsZero() {
		return 0
	}
	from := w.Arrived
	if w.Began.After(from) {
		from = w.Began
	}
	return Micros(w.Up.Sub(from))
}

// A Start is the kind of start that a request waited for.
type Start string

// Starts.
const (
	NoStart Start = "none" // it found a slot free, or got one that another request gave back
	Warm    Start = "warm" // of an instance in a frozen environment
	Cold    Start = "cold" // of an instance in a new environment
)

// Micros truncates a time to whole microseconds.
func Micros(d time.Duration) time.Duration { return d.Truncate(time.Microsecond) }

// Millis is a time in milliseconds, with at most three decimal places.
func Millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// An Outcome is how an admission ended; also the value of a metric's label.
type Outcome string

// Outcomes.
const (
	Dispatched Outcome = "dispatched" // got a slot, at once or after a wait
	Rejected   Outcome = "rejected"   // refused without a wait
	Evicted    Outcome = "evicted"    // waited, then was refused or left
)

// A Cause says why a request was not dispatched; also the value of a metric's label. The causes of failed starts are those of
// package scaler, with the same text. Only Throttled does not say which of Lambda's limits was hit, because clients are not told.
type Cause string

// Causes.
const (
	QueueFull       Cause = "queue_full"       // the queue is at its limit
	QueueTimeout    Cause = "queue_timeout"    // waited as long as it may
	AppStarting     Cause = "app_starting"     // waited as long as it may for an instance whose app does not take requests yet
	Closed          Cause = "closed"           // the control plane is shutting down
	UnknownFunction Cause = "unknown_function" // no such function, or none was named
	Disabled        Cause = "disabled"         // the operator switched the function off
	Canceled        Cause = "canceled"         // the client left
	NoLeader        Cause = "no_leader"        // no control plane leads at the moment, and all instances are full
	Overload        Cause = "overload"         // an instance had no slot for it, and no request may wait

	// Instances cannot be started.
	Throttled     Cause = "throttled"
	Denied        Cause = "denied"
	NotFound      Cause = "not_found"
	TooLarge      Cause = "too_large"
	Recursive     Cause = "recursive"
	InitFailed    Cause = "init_failed"
	AppUnhealthy  Cause = "app_unhealthy"
	Crashed       Cause = "crashed"
	TimedOut      Cause = "timed_out"
	FunctionError Cause = "function_error"
	Untrusted     Cause = "untrusted"
	StartTimeout  Cause = "start_timeout"
	TooShort      Cause = "too_short"
	NoEnvoy       Cause = "no_envoy"
	Network       Cause = "network"
	Unknown       Cause = "unknown"

	// Mistakes, ours or Envoy's.
	Malformed Cause = "malformed" // the stream broke ext_proc's protocol
	Internal  Cause = "internal"  // a bug
)

// Causes lists every cause.
var Causes = []Cause{
	QueueFull, QueueTimeout, AppStarting, Closed, UnknownFunction, Disabled, Canceled, Overload, NoLeader,
	Throttled, Denied, NotFound, TooLarge, Recursive, InitFailed, AppUnhealthy, Crashed, TimedOut, FunctionError, Untrusted, StartTimeout, TooShort, NoEnvoy,
	Network, Unknown,
	Malformed, Internal,
}

// An Error says that a request was not dispatched.
type Error struct {
	Outcome    Outcome // Rejected or Evicted
	Cause      Cause
	RetryAfter time.Duration // when trying again may help; 0: not known
	Waited     time.Duration // in the queue; whole microseconds
}

// ErrElsewhere says that another control plane decides about the request now. Envoy must ask that one.
var ErrElsewhere = errors.New("another control plane decides about this request")

// Reject returns the error of a request that was refused without a wait.
func Reject(cause Cause) *Error { return &Error{Outcome: Rejected, Cause: cause} }

// Evict returns the error of a request that left the queue without a slot.
func Evict(cause Cause) *Error { return &Error{Outcome: Evicted, Cause: cause} }

func (e *Error) Error() string { return "request " + string(e.Outcome) + ": " + string(e.Cause) }
