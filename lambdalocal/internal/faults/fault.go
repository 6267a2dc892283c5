// Package faults decides what goes wrong, and when. It causes nothing itself: the code that serves an invocation, starts an
// environment or carries bytes asks it at the place where a fault can strike, and does what the answer says.
package faults

import (
	"encoding/json"
	"time"
)

// Everything, as a function's or a link's name, means all of them.
const Everything = "*"

// A Kind says what goes wrong.
type Kind string

// Kinds of invocations that the service refuses.
const (
	Throttle       Kind = "throttle" // TooManyRequestsException, with the fault's reason
	AccessDenied   Kind = "access_denied"
	NotFound       Kind = "not_found"
	ServiceError   Kind = "service_error" // 500
	InvalidContent Kind = "invalid_content"
	TooLarge       Kind = "too_large"
	Reset          Kind = "reset" // the caller's connection is reset before the invocation begins
)

// Kinds of invocations that begin.
const (
	SlowPlacement Kind = "slow_placement" // an environment is looked for only after the delay
	SlowAnswer    Kind = "slow_answer"    // the answer waits for the delay
	AnswerEarly   Kind = "answer_early"   // after the delay the caller gets null for an answer; the function runs on
	AnswerLost    Kind = "answer_lost"    // after the delay the caller's connection is reset; the function runs on
	Kill          Kind = "kill"           // the environment's processes are killed, the delay after it got the invocation
)

// Kinds of cold starts.
const (
	InitFailure Kind = "init_failure" // the processes die during init, in its second try too
	ColdStart   Kind = "cold_start"   // the delay stands in for the function's cold_start_delay
)

// Kinds of network faults, between environments and what they dial through a link.
const (
	LinkReset   Kind = "link_reset"   // the connections that are open now are reset; that is all
	LinkSilence Kind = "link_silence" // nothing passes, no acknowledgement either
	LinkRefuse  Kind = "link_refuse"  // connections are reset as soon as they are made
	LinkLatency Kind = "link_latency" // each direction is slower by the delay
)

// A Fault is one thing that goes wrong, again and again, for as long as its limits allow.
type Fault struct {
	Kind     Kind   `yaml:"kind" json:"kind"`
	Function string `yaml:"function" json:"function"` // that it strikes; empty or *: all
	// Link, of network faults, is the listen address of the link that it strikes; empty or *: all.
	Link string `yaml:"link" json:"link,omitempty"`
	// Environment, of network faults, is the only one that it strikes; empty: all.
	Environment string        `yaml:"environment" json:"environment,omitempty"`
	Reason      string        `yaml:"reason" json:"reason,omitempty"`   // of a throttle; empty: the function's concurrency
	Message     string        `yaml:"message" json:"message,omitempty"` // of a refusal; empty: one that says that a fault was set
	Delay       time.Duration `yaml:"delay" json:"-"`

	// When it strikes. Zero values limit nothing.
	For         time.Duration `yaml:"for" json:"-"`                             // since it was set
	Times       int           `yaml:"times" json:"times,omitempty"`             // in all
	Every       int           `yaml:"every" json:"every,omitempty"`             // only every nth chance
	Probability float64       `yaml:"probability" json:"probability,omitempty"` // of each chance, above 0 and at most 1
}

// MarshalJSON writes durations in the form in which UnmarshalJSON reads them.
func (f Fault) MarshalJSON() ([]byte, error) {
	type plain Fault
	return json.Marshal(struct {
		plain
		Delay string `json:"delay,omitempty"`
		For   string `json:"for,omitempty"`
	}{plain(f), text(f.Delay), text(f.For)})
}

func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Momentary tells whether the fault strikes once, when it is set, and is over then. A Set does not hold such faults.
func (f Fault) Momentary() bool { return kinds[f.Kind].moment }

// Concerns tells whether the fault strikes the function.
func (f Fault) Concerns(function string) bool { return matches(f.Function, function) }

// ConcernsLink tells whether the fault strikes the link.
func (f Fault) ConcernsLink(listen string) bool { return matches(f.Link, listen) }

func matches(pattern, name string) bool {
	return pattern == "" || pattern == Everything || pattern == name
}
