// Package operator is what operators are shown of functions and instances, and what they may ask for, as the API spells it.
package operator

import (
	"errors"
	"time"
)

// ErrNotFound: there is no such function or instance.
var ErrNotFound = errors.New("not found")

// ErrNotPossible: what is asked for makes no sense now.
var ErrNotPossible = errors.New("not possible")

// A Function is one function's state and its counts since the control plane started.
type Function struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
	Disabled bool   `json:"disabled"`
	Leaving  bool   `json:"leaving"` // it is configured no more, and has instances or requests left

	QueueDepth int `json:"queue_depth"`
	QueueLimit int `json:"queue_limit"`
	InFlight   int `json:"in_flight"`
	Capacity   int `json:"capacity"` // slots of ready instances
	Free       int `json:"free"`     // of these, the ones that can be leased
	Foreign    int `json:"foreign"`  // of these, the ones that are taken without a lease: clients have left, and the app works on
	// Concurrency is how many slots an instance has whose peer offers enough: as configured, or Learned so far.
	Concurrency int  `json:"concurrency"`
	Learned     bool `json:"concurrency_learned"`

	Starting int    `json:"starting"` // instances, as the next two
	Ready    int    `json:"ready"`
	Draining int    `json:"draining"`
	Down     int    `json:"down"`    // tunnels gone, invocation not ended
	Frozen   int    `json:"frozen"`  // environments that served, and are likely to be kept frozen by Lambda
	Blocked  string `json:"blocked"` // why no instance is started although one is wanted: a guard, a cause, or empty
	// BlockedDetail says it in a sentence, with what Lambda or the peer said when starts fail, and with what a start waits for
	// that takes long.
	BlockedDetail string `json:"blocked_detail"`
	// Warnings are what the function's owner should know, and act upon one day.
	Warnings []Warning `json:"warnings"`

	Versions map[string]int `json:"versions"` // ready instances by version of the code, as far as it is known
	Rollout  *Rollout       `json:"rollout"`  // under way, or the last one; null: there was none
	// Rollouts counts how they ended: done, or the cause why they were given up.
	Rollouts map[string]uint64 `json:"rollouts"`

	Returned      uint64            `json:"returned"` // requests that an instance refused, and that went back to the queue
	Starts        uint64            `json:"starts"`
	Inherited     uint64            `json:"inherited"`      // instances taken over from the former leader
	StartFailures map[string]uint64 `json:"start_failures"` // by cause
	Ends          map[string]uint64 `json:"ends"`           // instances that ended, by reason
	Worn          map[string]uint64 `json:"worn"`           // environments that ended because they were worn, by what: memory, requests, age
	Killers       []Killer          `json:"killers"`        // that have killed an environment in the last day
	Requests      []RequestCount    `json:"requests"`
	QueueWait     Histogram         `json:"queue_wait"`
	Bill          Bill              `json:"bill"`
	// Own is what this control plane has added to the bill: without what it took over from the leaders before it. Metrics add up.
	Own Bill `json:"-"`
}

// A Killer is a kind of request that kills the environments which serve it.
type Killer struct {
	Route  string    `json:"route"`  // method and path; what looks like an id is {id}, and * stands for whatever follows
	Deaths int       `json:"deaths"` // of environments, with such a request in flight
	Of     int       `json:"of"`     // environments that have died since the first of those
	Others int       `json:"others"` // requests of other kinds that were cut with it, at most
	Share  float64   `json:"share"`  // of such requests among all that were in flight
	LastAt time.Time `json:"last_at"`
}

// A Warning is something that a function's owner should know.
type Warning struct {
	Word   string `json:"word"` // one of the constants below
	Detail string `json:"detail"`
}

// Words of warnings.
const (
	PeerLacks         = "peer_lacks"         // lambdapeer in the function's image is older than the control plane, and lacks something
	SerialApp         = "serial_app"         // the app serves one request at a time, although an instance has several slots
	Unseen            = "unseen"             // what the qualifier points to cannot be read: deployments are noticed late
	KillsEnvironments = "kills_environments" // requests of one kind were in flight where environments died, more often than by chance
	Unguarded         = "unguarded"          // invocations are signed, and the function's lambdapeer obeys any
)

// A Rollout is how far a rollout has come, or how it ended.
type Rollout struct {
	From   string `json:"from"` // versions
	To     string `json:"to"`
	Phase  string `json:"phase"`  // starting, watching, finishing, done, aborted
	Cause  string `json:"cause"`  // why it was aborted
	Detail string `json:"detail"` // in a sentence
	Back   bool   `json:"back"`   // what it had brought is being replaced by the old version

	Share    float64    `json:"share"` // of the capacity, in this step; 0: one instance is tried
	BeganAt  time.Time  `json:"began_at"`
	EndedAt  *time.Time `json:"ended_at"`
	Want     int        `json:"instances"` // to have in the end
	Fresh    int        `json:"fresh"`     // of the new version, ready
	Starting int        `json:"starting"`  // of the new version
	Old      int        `json:"old"`       // of the old version, ready
	Before   Served     `json:"old_served"`
	After    Served     `json:"fresh_served"`
}

// Served is what one version has done since a rollout began, as far as peers and leases tell.
type Served struct {
	Answers    uint64  `json:"answers"`
	Errors     uint64  `json:"errors"`      // of those, 5xx
	P99Seconds float64 `json:"p99_seconds"` // 0: too few requests to say
}

// A Bill is what a function's invocations cost. What is billed has ended, and is as Lambda reported it; the rest includes
// the invocations under way, as far as they have come.
type Bill struct {
	MemoryMB        int     `json:"memory_mb"` // configured in Lambda, as far as is known
	Invocations     uint64  `json:"billed_invocations"`
	Estimated       uint64  `json:"estimated_invocations"` // of those, the ones without a report
	BilledSeconds   float64 `json:"billed_seconds"`
	BilledGBSeconds float64 `json:"billed_gb_seconds"` // billed time multiplied by memory in units of 1,024 MB

	Running        int     `json:"running_invocations"`
	GBSeconds      float64 `json:"gb_seconds"`
	Dollars        float64 `json:"dollars"`
	DollarsPerHour float64 `json:"dollars_per_hour"` // while as many run as now

	Plain        PlainBill `json:"plain"`
	SavedDollars float64   `json:"saved_dollars"` // negative: plain Lambda would have been cheaper
}

// A PlainBill is what Lambda with one request per environment would have cost for the same requests.
type PlainBill struct {
	Requests      uint64  `json:"requests"`
	ColdStarts    uint64  `json:"cold_starts"`
	BilledSeconds float64 `json:"billed_seconds"` // of requests and cold starts
	GBSeconds     float64 `json:"gb_seconds"`
	Dollars       float64 `json:"dollars"`
}

// A RequestCount counts admissions that ended the same way.
type RequestCount struct {
	Outcome string `json:"outcome"` // dispatched, rejected, evicted
	Cause   string `json:"cause"`   // empty when dispatched
	Count   uint64 `json:"count"`
}

// A Histogram counts waits. It has one count more than bounds: the last one is of waits above them all.
type Histogram struct {
	Bounds []float64 `json:"bounds_seconds"` // ascending upper bounds, inclusive
	Counts []uint64  `json:"counts"`         // per bucket, not cumulative
	Sum    float64   `json:"sum_seconds"`
}

// An Instance is one instance that has not ended.
type Instance struct {
	ID          string    `json:"id"`
	Function    string    `json:"function"`
	State       string    `json:"state"`    // starting, ready, draining, down (tunnels gone, invocation not ended)
	Endpoint    string    `json:"endpoint"` // its name, "web/0007"
	InFlight    int       `json:"in_flight"`
	Reported    int       `json:"reported_in_flight"` // as its peer counts
	Foreign     int       `json:"foreign"`            // slots that are taken without a lease
	Slots       int       `json:"slots"`
	StartedAt   time.Time `json:"started_at"`
	AgeSeconds  float64   `json:"age_seconds"`
	Environment string    `json:"environment"`  // empty until its peer has dialled
	DrainReason string    `json:"drain_reason"` // empty unless it drains
	MemoryBytes int64     `json:"memory_bytes"` // that its environment's processes hold, as its peer said last; 0: not known
	Worn        string    `json:"worn"`         // why its environment is to end: memory, requests, age; empty: it is not
	WaitsFor    string    `json:"waits_for"`    // what keeps one that starts from being ready, for people; empty for others

	// What its peer says of itself; empty until it has dialled, and for peers that do not say.
	Build           string   `json:"build"`            // release or revision of lambdapeer
	Features        []string `json:"features"`         // what it does beyond the protocol's first state
	Lacks           []string `json:"lacks"`            // features that it has not and today's lambdapeer has
	FunctionVersion string   `json:"function_version"` // of the function's code: a number or $LATEST
	RequestID       string   `json:"request_id"`       // Lambda's, of the invocation: its log lines have it
	LogStream       string   `json:"log_stream"`       // of the function's log; extensions are not told
}
