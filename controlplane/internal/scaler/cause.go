package scaler

import "time"

// A Cause says why a start failed, or why a request was not served. It is a low-cardinality label; the empty Cause means
// that all went well.
type Cause string

// Causes of failed starts.
const (
	Throttled    Cause = "throttled"     // Lambda refuses for now: rate or concurrency
	Denied       Cause = "denied"        // we may not invoke the function
	NotFound     Cause = "not_found"     // there is no such function or qualifier
	InitFailed   Cause = "init_failed"   // the runtime or the app did not come up
	Crashed      Cause = "crashed"       // the environment ended without an answer
	StartTimeout Cause = "start_timeout" // invoked, but not up in time
	TooShort     Cause = "too_short"     // came up, but ended or had to end before it served anything
	Network      Cause = "network"       // Lambda, or from the function the relay, could not be reached
	Unknown      Cause = "unknown"       // anything else
)

// StartCauses lists the causes of failed starts. A cause that is not in it counts as Unknown.
var StartCauses = [...]Cause{Throttled, Denied, NotFound, InitFailed, Crashed, StartTimeout, TooShort, Network, Unknown}

// StartCause returns c if it is one of StartCauses, and Unknown if not.
func StartCause(c Cause) Cause {
	for _, known := range StartCauses {
		if c == known {
			return c
		}
	}
	return Unknown
}

// A class says how to go on after a failed start. Later ones are stricter.
type class uint8

const (
	retry class = iota // it will pass: fewer starts at once, with growing pauses
	probe              // it may be broken: one start at a time, with growing pauses
	stop               // somebody must act: one start now and then, to see whether somebody did
)

// A rule is what a cause asks of the breaker.
type rule struct {
	class class
	first time.Duration // the first pause; each further one is twice as long
	// refused: Lambda refused the call. That an older start came up meanwhile says nothing about the next call.
	refused bool
}

func ruleOf(c Cause) rule {
	switch c {
	case Denied, NotFound:
		return rule{class: stop, first: ProbeEvery, refused: true}
	case InitFailed, Crashed, StartTimeout, TooShort:
		return rule{class: probe, first: time.Second}
	case Throttled:
		return rule{class: retry, first: 200 * time.Millisecond, refused: true}
	default:
		return rule{class: retry, first: 200 * time.Millisecond}
	}
}
