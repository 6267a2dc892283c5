// Package wire is the protocol between lambdapeer, the relay and the control plane: the invocation payload, the
// registration of peers that nobody invoked, and the messages of the control stream. PROTOCOL.md in this folder states
// it in words. The package holds types, limits and codecs only; it opens no connection.
package wire

import "time"

// Version is the protocol version that this code speaks. Both ends refuse any other with a message that names both.
const Version = 1

// Protocol is the value of the Upgrade header, in requests and in the 101 answer.
const Protocol = "lambda-dispatch/1"

// Paths on the relay's port.
const (
	TunnelPath   = "/v1/tunnel"   // GET + Upgrade: one tunnel
	ControlPath  = "/v1/control"  // GET + Upgrade: the control stream
	RegisterPath = "/v1/register" // POST: a peer that nobody invoked asks for an Invocation
)

// Limits that both ends enforce.
const (
	MaxMessage    = 16 << 10 // bytes in one control message, newline included
	MaxInvocation = 64 << 10 // bytes in an invocation payload, a registration or its answer
	MaxDetail     = 2 << 10  // bytes in a detail
	MaxID         = 512      // bytes in an instance, environment or function name
	MaxToken      = 4 << 10  // bytes in a token
	MaxRelays     = 64       // relays in an invocation
	MaxSlots      = 100_000  // slots of an instance
	MaxBuild      = 128      // bytes in a build
	MaxFeatures   = 64       // words in a list of features
	MaxFeature    = 64       // bytes in one of them
	// MaxIdleTunnels is how many tunnels of an instance may be idle on one relay, those being dialled included.
	MaxIdleTunnels = 16
	MaxLimit       = Millis(24 * time.Hour)
)

// Durations that stand in for a zero in an Invocation.
const (
	DefaultDialTimeout = Millis(1500 * time.Millisecond)
	DefaultDrainLimit  = Millis(30 * time.Second)
	DefaultHalfClosed  = Millis(10 * time.Second)
)

// RefusedHeader marks an answer of the peer itself: the request exceeded the instance's slots and the app has not seen it, so
// that it may be sent to another instance. With FeatureRequeue its value is RefusedBy; then an answer with RefusedStatus and
// the request's own URL as Location asks for that, and the request comes again with the same header. Without the feature the
// value is 1. Peers remove the header from what apps are asked and answer.
const (
	RefusedHeader = "Lambda-Dispatch-Refused"
	RefusedStatus = 307
	// MaxReplay is the longest body, in bytes, of a request that is sent again.
	MaxReplay = 512 << 10
)

// CauseHeader repeats the cause of a problem that is not the app's answer: for programs that read no body, and for logs.
const CauseHeader = "Lambda-Dispatch-Cause"

// RefusedBy is the value of RefusedHeader that names who refused.
func RefusedBy(function, instance string) string { return function + "/" + instance }

// An Invocation tells a peer what to serve, for whom and until when. It is the payload of a Lambda invocation, and the
// answer to a Registration.
type Invocation struct {
	Version     int     `json:"lambda_dispatch"` // protocol version; also marks the event as ours
	Instance    string  `json:"instance"`        // id of this instance, unique for the life of the control plane
	Function    string  `json:"function"`        // the function's name in the control plane's configuration
	Relays      []Relay `json:"relays"`          // dial every one of them
	Token       string  `json:"token"`           // bearer token for tunnels and control streams of this instance
	Concurrency int     `json:"concurrency"`     // requests that may be in flight at once: the hard cap
	DrainMargin Millis  `json:"drain_margin_ms"` // begin to drain this long before the invocation's own deadline
	DialTimeout Millis  `json:"dial_timeout_ms"` // give up when no relay could be reached for this long, twice that after one was lost; 0: DefaultDialTimeout
	DrainLimit  Millis  `json:"drain_limit_ms"`  // requests still in flight this long after a drain began are cut; 0: DefaultDrainLimit

	// Linger is how long the invocation lasts, at least, after the last answer: the app may work on. A drain's limit and the
	// deadline come first.
	Linger Millis `json:"linger_ms,omitempty"`

	// HalfClosed is how long an upgraded connection may last after its client has stopped sending; 0: DefaultHalfClosed.
	HalfClosed Millis `json:"half_closed_ms,omitempty"`

	// MaxRequests and MaxAge are how many requests an environment serves, over all its instances, and how old it gets, before
	// it is worn; 0: it is not for that. They are for peers with FeatureWear.
	MaxRequests int64  `json:"max_requests,omitempty"`
	MaxAge      Millis `json:"max_age_ms,omitempty"`

	// Features is what the control plane and its relays understand, so that a peer knows before it dials.
	Features Features `json:"features,omitzero"`

	// Signed is this invocation once more, as the text that Signature signs; both are empty without a signature. A peer that
	// has a public key obeys this text and nothing beside it. Package signature makes and reads both.
	Signed    string `json:"signed,omitempty"`
	Signature string `json:"signature,omitempty"` // Ed25519, in base64
}

// A Relay is one address that a peer dials.
type Relay struct {
	Address string `json:"address"`      // host:port
	TLS     bool   `json:"tls"`          // plain TCP when false
	CA      string `json:"ca,omitempty"` // PEM; the certificate must chain to it. Empty with TLS: the system's roots
	Name    string `json:"name"`         // the name that the certificate must carry
}

// A Registration is what a peer that nobody invoked (a container, a laptop) posts to RegisterPath, with the function's
// configured token as bearer. The answer is an Invocation.
type Registration struct {
	Version     int    `json:"lambda_dispatch"`
	Function    string `json:"function"`
	Environment string `json:"environment"`
}

// A Report is how a peer ends its invocation: the invocation's answer.
type Report struct {
	Version  int    `json:"lambda_dispatch"`
	Instance string `json:"instance"`
	Reason   Reason `json:"reason"`
	Detail   string `json:"detail,omitempty"` // for people: what exactly could not be reached, say
	Requests int64  `json:"requests"`         // served, failed ones included
	Refused  int64  `json:"refused"`          // over the hard cap
	BytesIn  int64  `json:"bytes_in"`         // tunnel bytes read
	BytesOut int64  `json:"bytes_out"`        // tunnel bytes written
	Served   Millis `json:"served_ms"`        // from the first control stream's welcome to the end

	// Worn is why the environment ends with this invocation; empty: it does not. With FeatureWear only.
	Worn Notice `json:"worn,omitempty"`
}

// A Reason says why an instance stops serving.
type Reason string

// Reasons of drains and of reports.
const (
	ReasonScaleIn          Reason = "scale_in"          // the control plane: capacity is surplus
	ReasonRotation         Reason = "rotation"          // the control plane: the deadline is near, a replacement is ready
	ReasonRollout          Reason = "rollout"           // the control plane: another one has taken its place, of another version say
	ReasonOperator         Reason = "operator"          // the control plane: somebody asked
	ReasonNoEnvoy          Reason = "no_envoy"          // the control plane: no Envoy takes the instance's endpoint
	ReasonFailing          Reason = "failing"           // the control plane: it answers with errors, and other instances do not
	ReasonStopping         Reason = "stopping"          // the control plane itself shuts down
	ReasonDeadline         Reason = "deadline"          // the peer: its invocation's deadline is near
	ReasonShutdown         Reason = "shutdown"          // the peer: SHUTDOWN event or SIGTERM
	ReasonRelayUnreachable Reason = "relay_unreachable" // the peer: no relay could be dialled in time
	ReasonRelayLost        Reason = "relay_lost"        // the peer: every relay was lost and none came back in time
	ReasonRefused          Reason = "refused"           // the peer: the relay refused its token or version
	ReasonAppUnhealthy     Reason = "app_unhealthy"     // the peer: the app did not become ready
	ReasonAppExited        Reason = "app_exited"        // the peer: the app's process ended
	ReasonWorn             Reason = "worn"              // the peer: its environment is worn, and no other has taken its place
)

// A Message is one line on the control stream. Kind says which fields count.
type Message struct {
	Kind Kind `json:"kind"`

	// hello
	Version     int    `json:"version,omitempty"`
	Instance    string `json:"instance,omitempty"`
	Environment string `json:"environment,omitempty"` // stable over the environment's invocations
	Slots       int    `json:"slots,omitempty"`
	Cold        bool   `json:"cold,omitempty"`    // first invocation of this environment
	Left        Millis `json:"left_ms,omitempty"` // from now until the invocation's deadline; 0: it has none. In ready too
	// FunctionVersion is the version of the function's code that runs: a number or $LATEST; empty: not known.
	FunctionVersion string `json:"function_version,omitempty"`
	// RequestID is Lambda's id of the invocation, as its log lines have it; LogStream is where those are, as far as the peer
	// is told. Both are for people, and empty where they are not known.
	RequestID string `json:"request_id,omitempty"`
	LogStream string `json:"log_stream,omitempty"`

	// hello, welcome
	Build    string   `json:"build,omitempty"`   // for people: which release or revision the sender is; empty: not known
	Features Features `json:"features,omitzero"` // what the sender does, or understands

	// hello, waiting: what the app that is not ready did last, for people; empty: it is ready
	Waiting string `json:"waiting,omitempty"`

	// notice
	Notice Notice `json:"notice,omitempty"`

	// welcome: how long a start may still take, if the hello said that it waits; 0: no limit
	StartLeft Millis `json:"start_left_ms,omitempty"`

	// load
	InFlight int   `json:"in_flight,omitempty"`
	Requests int64 `json:"requests,omitempty"` // given a slot since the instance began; 0: not known
	Answers  int64 `json:"answers,omitempty"`  // begun since the instance began, refusals not included
	Errors   int64 `json:"errors,omitempty"`   // of those, with a status of 500 or more
	Memory   int64 `json:"memory,omitempty"`   // bytes that the environment's processes held a moment ago; 0: not known

	// drain, goodbye, refused
	Reason Reason  `json:"reason,omitempty"`
	Detail string  `json:"detail,omitempty"`
	Report *Report `json:"report,omitempty"`
}

// A Notice is a word for something about the app that its owner should know.
type Notice string

// Notices.
const (
	NoticeSerialApp Notice = "serial_app" // it answers overlapping requests one after another, although it has several slots
	// Why an environment is worn: another one should take its place, and it ends with the invocation.
	NoticeWornMemory   Notice = "worn_memory"   // its memory will not last
	NoticeWornRequests Notice = "worn_requests" // it has served Invocation.MaxRequests
	NoticeWornAge      Notice = "worn_age"      // it is as old as Invocation.MaxAge
	NoticeWornErrors   Notice = "worn_errors"   // the control plane let its instance go for ReasonFailing; in reports only
)

// Wears tells whether the notice is one of a worn environment.
func (n Notice) Wears() bool {
	return n == NoticeWornMemory || n == NoticeWornRequests || n == NoticeWornAge || n == NoticeWornErrors
}

// A Kind names a control message.
type Kind string

// Kinds, with who sends them.
const (
	KindHello   Kind = "hello"   // peer: first message
	KindWelcome Kind = "welcome" // relay: the answer to hello; the instance is known and may get requests
	KindWaiting Kind = "waiting" // peer, after a hello that waits: what for, on change
	KindReady   Kind = "ready"   // peer, after a hello that waits: it waits no longer, and may get requests
	KindNotice  Kind = "notice"  // peer: something about the app that its owner should know
	KindLoad    Kind = "load"    // peer: requests in flight, coalesced
	KindDrain   Kind = "drain"   // both: no new requests from now on; finish what is in flight
	KindGoodbye Kind = "goodbye" // peer: nothing is in flight any more; the last message
	KindRefused Kind = "refused" // relay: the hello cannot be served; detail says why; the last message
)
