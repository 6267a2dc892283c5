package admin

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// A Source is what the API and the metrics show. Its methods are called from many goroutines and return snapshots that
// belong to the caller; they must not block on the network.
type Source interface {
	Functions() []operator.Function
	Instances() []operator.Instance
	// Recent are the last failures and the requests that waited last, newest first.
	Recent() operator.Recent
	// DrainFunction replaces every instance that the function has now. New instances start first; with at once, the old ones drain without
	// waiting for them.
	DrainFunction(name string, atOnce bool) error
	// StartRollout replaces every instance by instances of the version that the function's qualifier points to. A nil field of the plan
	// stands for the configured value.
	StartRollout(name string, plan operator.RolloutPlan) error
	// AbortRollout ends a rollout. The old version goes on, or replaces what was new.
	AbortRollout(name string) error
	// RetryFunction ends the pause after failed starts.
	RetryFunction(name string) error
	// DrainInstance drains one instance.
	DrainInstance(id string) error
}

// A RelayStatus is the relay's state and its counts since it started.
type RelayStatus struct {
	Strangers      int               `json:"strangers"` // connections that have shown no valid token yet
	Admitted       int               `json:"admitted"`  // connections of peers that have
	IdleTunnels    int               `json:"idle_tunnels"`
	SplicedTunnels int               `json:"spliced_tunnels"`
	ControlStreams int               `json:"control_streams"`
	BytesToPeers   uint64            `json:"bytes_to_peers"`
	BytesFromPeers uint64            `json:"bytes_from_peers"`
	Refused        map[string]uint64 `json:"refused"` // connections, by reason

	// RefusedAt is when a connection was refused last, by reason. What never was has no entry.
	RefusedAt map[string]time.Time `json:"refused_at"`
}

// An UplinkStatus is what a relay that runs by itself knows of the leader.
type UplinkStatus struct {
	Term      uint64 `json:"term"`      // the highest that it has seen
	Attached  bool   `json:"attached"`  // to whoever leads
	Instances int    `json:"instances"` // kept, those that have ended included
	Untold    int    `json:"untold"`    // instances that have ended, which no leader has heard of yet

	// Unheard says why there is no stream to a control plane, by its address. It is empty while one leads.
	Unheard map[string]string `json:"unheard,omitempty"`
	// Unkept says why what is known of instances is not written down. It is empty if it is.
	Unkept string `json:"unkept,omitempty"`
}

// A LeaderStatus is a control plane's role in its cell.
type LeaderStatus struct {
	Leads  bool
	Term   uint64   // that it leads; 0 if it does not
	Relays []string // attached to it, by name
	Leader string   // the admin address of whoever leads, as it was read last; for people

	Took     time.Duration            // from its election until it decided; 0 while it does not lead
	Observed map[string]time.Duration // by attached relay: since it last answered

	Lease LeaseStatus
}

// A LeaseStatus is how a control plane fares with the store of its lease.
type LeaseStatus struct {
	Age    time.Duration
	Detail string            // what is wrong with the store; empty: nothing
	Cause  string            // the same in a word
	Errors map[string]uint64 // answers that failed, by cause
}

// An XDSStatus is what Envoys were told since the control plane started, by the resource type's short name.
type XDSStatus struct {
	Envoys int // connected now
	Pushes map[string]uint64
	Acks   map[string]uint64
	Nacks  map[string]uint64
	// Refused are the resources that connected Envoys have not taken and are offered again.
	Refused map[string]int
}

// A Readiness tells whether requests may come here.
type Readiness struct {
	Reason  string    // why not; empty: they may
	Envoys  int       // connected now
	Refused []Refused // what they have not taken, and are offered again
}

// A Refused is a resource that a connected Envoy has not taken.
type Refused struct {
	Envoy    string    `json:"envoy"`
	Service  string    `json:"service"` // lds, rds, cds, eds or sds
	Resource string    `json:"resource"`
	Why      string    `json:"detail"` // in Envoy's words
	Since    time.Time `json:"since"`
	Offers   int       `json:"offers"`
}

// A FilesStatus is what is known of files that others replace, by name: listener/front, relay, token/web, signing.
type FilesStatus struct {
	Expires map[string]time.Time // certificates in use
	Refused map[string]string    // why what the files hold now was not taken; empty: it was
}
