package tables

import "github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"

// A Phase is where an instance stands at a relay.
type Phase string

// The phases. A peer may come back after Lost; Ended is final.
const (
	PhaseExpected Phase = "expected" // its peer has not dialled
	PhaseWaiting  Phase = "waiting"  // its peer is there, but its app takes no requests yet
	PhaseUp       Phase = "up"
	PhaseLost     Phase = "lost" // its control stream broke off; its tunnels may still be up
	PhaseEnded    Phase = "ended"
)

// An Instance is what a relay knows about an instance when it sends this. Counters show what has happened more than once since
// the last message.
type Instance struct {
	ID       string  `json:"id"`
	Function string  `json:"function"`
	Endpoint string  `json:"endpoint"`
	Dollars  float64 `json:"dollars,omitempty"`
	Memo     []byte  `json:"memo,omitempty"`

	Phase   Phase  `json:"phase"`
	Age     Micros `json:"age_us"`                // since it was first expected, up to its end
	UpFor   Micros `json:"up_us,omitempty"`       // since it was first up, up to its end; 0: it never was
	StartBy Micros `json:"start_by_us,omitempty"` // until its start is given up; 0: never, or it has been up

	Environment string      `json:"environment,omitempty"`
	Slots       int         `json:"slots,omitempty"`
	Cold        bool        `json:"cold,omitempty"`
	Left        Micros      `json:"left_us,omitempty"` // until its invocation's deadline; 0: it has none
	Peer        Peer        `json:"peer,omitzero"`
	Waits       uint64      `json:"waits,omitempty"` // how often its peer said what it waits for
	What        string      `json:"what,omitempty"`  // what its peer last said that it waits for
	Ups         uint64      `json:"ups,omitempty"`   // how often it came up
	Load        *Load       `json:"load,omitempty"`  // the last; nil: none since it came up
	Notices     uint64      `json:"notices,omitempty"`
	Notice      wire.Notice `json:"notice,omitempty"` // the last
	Leaves      wire.Reason `json:"leaves,omitempty"` // why it drains by its own decision
	Drain       wire.Reason `json:"drain,omitempty"`  // why it was told to drain
	Why         string      `json:"why,omitempty"`    // why it was last lost
	End         *End        `json:"end,omitempty"`
}

// A Peer is what the hello says about the peer. All of it may be missing.
type Peer struct {
	Build           string        `json:"build,omitempty"`
	Features        wire.Features `json:"features,omitzero"`
	FunctionVersion string        `json:"function_version,omitempty"`
	RequestID       string        `json:"request_id,omitempty"`
	LogStream       string        `json:"log_stream,omitempty"`
}

// An End is how an instance ended: with the report of its peer's goodbye, or for a cause.
type End struct {
	Report *wire.Report `json:"report,omitempty"`
	Cause  EndCause     `json:"cause,omitempty"`
	Detail string       `json:"detail,omitempty"`
}

// An EndCause says why an instance ended without a goodbye. A later build may have others.
type EndCause string

// The causes.
const (
	EndNeverDialled EndCause = "never_dialled"
	EndForgotten    EndCause = "forgotten"
	EndControlEnded EndCause = "control_ended"
	EndTooOften     EndCause = "too_often"
	EndStopped      EndCause = "relay_stopped"
	EndBroken       EndCause = "broken" // its connection; Detail is the error
	EndFull         EndCause = "relay_full"
	EndReplaced     EndCause = "relay_replaced" // said by the leader, not by the relay
)

// A Load is what a peer counted a short while ago.
type Load struct {
	Instance string `json:"instance"`
	Number   uint64 `json:"number"` // the relay numbers the loads of an instance
	InFlight int    `json:"in_flight,omitempty"`
	Requests uint64 `json:"requests,omitempty"` // since the instance began; 0: not known
	Answers  uint64 `json:"answers,omitempty"`  // since the instance began
	Errors   uint64 `json:"errors,omitempty"`   // answers that were 5xx
	Memory   int64  `json:"memory,omitempty"`   // bytes that the environment's processes hold; 0: not known
	Way      Micros `json:"way_us,omitempty"`   // bound on its way from peer to relay; 0: not known
	Age      Micros `json:"age_us,omitempty"`   // since the relay received it
}

// Waiting is an event: a peer is there whose app takes no requests yet.
type Waiting struct {
	Instance    string
	Environment string
	What        string // what the app did last, in the peer's words
	Peer        Peer
}

// Up is an event: the instance can serve.
type Up struct {
	Instance    string
	Environment string
	Slots       int
	Cold        bool
	Left        Micros // until its invocation's deadline; 0: it has none
	Peer        Peer
}
