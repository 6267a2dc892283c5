package scaler

import "time"

// A Cause says why a start failed, or why a request was not served. It is a low-cardinality label; the empty Cause means
// that all went well.
type Cause string

// Causes of failed starts.
const (
	// Lambda throttles. How soon another try makes sense depends on which of its limits was hit.
	ThrottledReserved Cause = "throttled_reserved" // the function's reserved concurrency is in use
	ThrottledAccount  Cause = "throttled_account"  // the account's concurrency is in use
	ThrottledRate     Cause = "throttled_rate"     // too many environments, or calls, a second
	Throttled         Cause = "throttled"          // a limit that Lambda did not name

	Denied    Cause = "denied"    // we may not invoke the function
	NotFound  Cause = "not_found" // there is no such function or qualifier
	TooLarge  Cause = "too_large" // the invocation's payload
	Recursive Cause = "recursive" // Lambda believes that our call is part of a loop of functions that call each other

	InitFailed    Cause = "init_failed"    // the runtime did not come up
	AppUnhealthy  Cause = "app_unhealthy"  // the runtime came up, the app did not
	Crashed       Cause = "crashed"        // the environment ended without an answer
	TimedOut      Cause = "timed_out"      // the function's timeout ended it
	FunctionError Cause = "function_error" // the function answered with an error of its own
	Untrusted     Cause = "untrusted"      // the peer does not obey our invocation
	StartTimeout  Cause = "start_timeout"  // invoked, but no peer dialled in time
	TooShort      Cause = "too_short"      // came up, but ended or had to end before it served a request

	NoEnvoy Cause = "no_envoy" // up, but no Envoy took its endpoint
	Network Cause = "network"  // Lambda, or from the function the relay, could not be reached
	Unknown Cause = "unknown"  // anything else
)

// StartCauses lists the causes of failed starts. A cause that is not in it counts as Unknown.
var StartCauses = [...]Cause{
	ThrottledReserved, ThrottledAccount, ThrottledRate, Throttled, Denied, NotFound, TooLarge, Recursive,
	InitFailed, AppUnhealthy, Crashed, TimedOut, FunctionError, Untrusted, StartTimeout, TooShort, NoEnvoy, Network, Unknown,
}

// StartCause returns c if it is one of StartCauses, and Unknown if not.
func StartCause(c Cause) Cause {
	for _, known := range StartCauses {
		if c == known {
			return c
		}
	}
	return Unknown
}

// IsThrottled reports whether c is one of Lambda's limits, named or not.
func (c Cause) IsThrottled() bool {
	return c == Throttled || c == ThrottledReserved || c == ThrottledAccount || c == ThrottledRate
}

// explains reports whether c says more than that a start took too long.
func (c Cause) explains() bool {
	switch c {
	case InitFailed, AppUnhealthy, Crashed, FunctionError, Untrusted, Network:
		return true
	}
	return false
}

// A class says whether requests wait after a failed start. Later ones are stricter.
type class uint8

const (
	retry class = iota // the cause passes by itself: requests wait
	probe              // the function may be broken: requests wait until OpenAfter failures in a row
	stop               // an operator must act: requests do not wait
)

// A rule is the breaker's reaction to a cause.
type rule struct {
	class   class
	first   time.Duration // the first pause; each further one is twice as long
	longest time.Duration // no pause is longer
	refused bool          // Lambda refused the call, so that an older start has come up says nothing about the next call
	several bool          // after the pause several starts may be tried at once, half as many after each failure; else one
	freed   bool          // an instance that ends makes room for another, so the pause ends with it
}

// ruleOf is the table of reactions. docs/operating.md has it in words.
func ruleOf(c Cause) rule {
	const short, long = 10 * time.Second, 30 * time.Second
	switch c {
	case Denied, NotFound, TooLarge, Recursive:
		return rule{class: stop, first: time.Second, longest: ProbeEvery, refused: true}
	case InitFailed, AppUnhealthy, Crashed, TimedOut, FunctionError, Untrusted, StartTimeout, TooShort:
		return rule{class: probe, first: time.Second, longest: long}
	case ThrottledReserved:
		return rule{first: 200 * time.Millisecond, longest: short, refused: true, freed: true}
	case ThrottledAccount:
		return rule{first: 200 * time.Millisecond, longest: short, refused: true, freed: true, several: true}
	case ThrottledRate, Throttled:
		return rule{first: 200 * time.Millisecond, longest: short, refused: true, several: true}
	case Network, NoEnvoy:
		return rule{first: 200 * time.Millisecond, longest: short, several: true}
	default:
		return rule{first: 200 * time.Millisecond, longest: long, several: true}
	}
}
