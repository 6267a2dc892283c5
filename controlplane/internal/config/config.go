// Package config is the control plane's configuration: one tree, read from one YAML file, with every default in Default
// and every rule in Validate.
package config

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
)

// A Config is the whole tree.
type Config struct {
	StateDir  string     `yaml:"state_dir"` // sockets live here: control.sock for Envoy, e/ for endpoints
	Listeners []Listener `yaml:"listeners"`
	Admin     Admin      `yaml:"admin"`
	Shutdown  Shutdown   `yaml:"shutdown"`
	Relay     Relay      `yaml:"relay"`
	Cell      Cell       `yaml:"cell"`
	Lease     Lease      `yaml:"lease"`
	Signing   Signing    `yaml:"signing"`
	AWS       AWS        `yaml:"aws"`
	Accounts  []Account  `yaml:"accounts"`
	Pricing   Pricing    `yaml:"pricing"`
	Budget    Budget     `yaml:"budget"`
	Log       Log        `yaml:"log"`
	AccessLog AccessLog  `yaml:"access_log"`
	Tracing   Tracing    `yaml:"tracing"`
	EMF       EMF        `yaml:"emf"`
	Functions []Function `yaml:"functions"`
}

// A Listener is an address that Envoy opens for clients.
type Listener struct {
	Name    string       `yaml:"name"`
	Address string       `yaml:"address"` // host:port
	TLS     *ListenerTLS `yaml:"tls"`     // nil: plain HTTP
	// MaxRequestHeaders is the limit on a request's header block in KiB; above it Envoy answers 431.
	MaxRequestHeaders int `yaml:"max_request_headers_kib"`
	// TrustedHops is how many proxies before Envoy may be believed about X-Forwarded-For.
	TrustedHops int `yaml:"trusted_hops"`
	// HealthPath is answered by Envoy itself: 200, and 503 once the control plane has got SIGTERM. Empty: no such path.
	HealthPath string `yaml:"health_path"`
}

// ListenerTLS names the files of a listener's certificate. The control plane reads them at the start and whenever they change.
type ListenerTLS struct {
	CertificateFile string `yaml:"certificate_file"`
	KeyFile         string `yaml:"key_file"`
}

// Admin is the address of health, metrics and the API.
type Admin struct {
	Address string   `yaml:"address"`
	Hosts   []string `yaml:"hosts"` // names by which it may be called, beside localhost and its own
	// TokenFile holds the token that requests must show, except to the health paths. Empty: no token. relay.admin asks for the same one.
	TokenFile string `yaml:"token_file"`
	Open      bool   `yaml:"open"` // other machines may reach the address without a token
}

// Shutdown is how the control plane ends.
type Shutdown struct {
	Grace time.Duration `yaml:"grace"` // how long it serves on after SIGTERM while requests come; 0: not at all
}

// Relay is where peers dial in.
type Relay struct {
	Address   string `yaml:"address"`   // host:port to listen on
	Advertise string `yaml:"advertise"` // host:port that peers dial; empty: Address; or one of Found
	TLS       string `yaml:"tls"`       // auto: our own CA; files: the two below; off: plain TCP
	// CertificateFile and KeyFile serve tls: files. CAFile, optional, is handed to peers; without it they use their
	// system's roots.
	CertificateFile string        `yaml:"certificate_file"`
	KeyFile         string        `yaml:"key_file"`
	CAFile          string        `yaml:"ca_file"`
	TunnelWait      time.Duration `yaml:"tunnel_wait"` // how long a connection of Envoy's waits for a tunnel
	// MaxConnections limits the tunnels and control streams that are open at once.
	MaxConnections int `yaml:"max_connections"`
	// Apart makes the relay a process of its own, lambda-dispatch relay, that outlives the control plane.
	Apart bool   `yaml:"apart"`
	Name  string `yaml:"name"`  // by which control planes know that process; empty: its host's, when it first ran
	Admin string `yaml:"admin"` // host:port of that process's health and metrics; empty: it has none
}

// Values of Advertise that the process finds out, with the port of Address.
const (
	AdvertiseAuto   = "auto"   // its address in its own network
	AdvertisePublic = "public" // its public IPv4 address
	AdvertiseIPv6   = "ipv6"   // its global IPv6 address
)

// Found lists these values.
var Found = []string{AdvertiseAuto, AdvertisePublic, AdvertiseIPv6}

// Files are those of tls: files, in the order of ParseRelayPair.
func (r Relay) Files() []string {
	files := []string{r.CertificateFile, r.KeyFile}
	if r.CAFile != "" {
		files = append(files, r.CAFile)
	}
	return files
}

// Signing lets functions check who invokes them.
type Signing struct {
	KeyFile string `yaml:"key_file"` // PEM, an Ed25519 private key; empty: invocations are not signed
}

// AWS says where and as whom to invoke. Credentials come from the SDK's default chain.
type AWS struct {
	Region   string `yaml:"region"`
	Endpoint string `yaml:"endpoint"` // URL of another Invoke API, lambdalocal's say; empty: AWS
	// AccountConcurrency is the account's quota of concurrent executions in the region, for Findings; 0: not stated.
	AccountConcurrency int `yaml:"account_concurrency"`
}

// An Account bounds the instances of all functions in one region of one account.
type Account struct {
	Region     string `yaml:"region"`      // empty: that of AWS
	AssumeRole string `yaml:"assume_role"` // as functions have it; empty: the account of our own credentials
	Instances  int    `yaml:"instances"`
}

// A Place is a region of an account. The account is that of the role, or that of our own credentials if Role is empty.
type Place struct{ Region, Role string }

// PlaceOf returns where a function is.
func (c Config) PlaceOf(f Function) Place { return c.place(f.Lambda.Region, f.Lambda.AssumeRole) }

// PlaceOfAccount returns where the functions are that an element of accounts bounds.
func (c Config) PlaceOfAccount(a Account) Place { return c.place(a.Region, a.AssumeRole) }

func (c Config) place(region, role string) Place {
	if region == "" {
		region = c.AWS.Region
	}
	return Place{region, role}
}

// Pricing is what Lambda charges, in dollars. Duration is priced by the architecture.
type Pricing struct {
	PerMillionRequests float64 `yaml:"per_million_requests"`
	GBSecondX86        float64 `yaml:"gb_second_x86_64"`
	GBSecondARM        float64 `yaml:"gb_second_arm64"`
}

// Rates returns the prices for an architecture.
func (p Pricing) Rates(architecture string) bill.Rates {
	r := bill.Rates{Request: p.PerMillionRequests / 1e6, GBSecond: p.GBSecondX86}
	if architecture == ArchitectureARM {
		r.GBSecond = p.GBSecondARM
	}
	return r
}

// Budget bounds what all functions cost together.
type Budget struct {
	DollarsPerHour float64 `yaml:"dollars_per_hour"` // 0: no ceiling
}

// Log is what the control plane writes to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// AccessLog is what Envoy writes about each request.
type AccessLog struct {
	To    string `yaml:"to"`    // stdout, or the path of a file on Envoy's machine; empty: there is none
	Query bool   `yaml:"query"` // paths are written with their query, which may hold secrets
}

// Tracing says where spans of requests go.
type Tracing struct {
	Endpoint string  `yaml:"endpoint"` // http://host:port of a collector, OTLP over gRPC; empty: nothing is traced
	Sampling float64 `yaml:"sampling"` // share of the requests without a traceparent that are traced, 0 to 1; a traceparent decides for its own request
}

// EMF is the metrics for CloudWatch, as lines in its embedded metric format on standard output.
type EMF struct {
	Interval  time.Duration `yaml:"interval"` // 0: there are none
	Namespace string        `yaml:"namespace"`
}

// ToStdout is the word of access_log.to for Envoy's standard output.
const ToStdout = "stdout"

// A Function is one Lambda function plus qualifier, or one group of self-registering peers.
type Function struct {
	Name        string      `yaml:"name"`
	Provider    string      `yaml:"provider"` // lambda or static
	Lambda      Lambda      `yaml:"lambda"`
	Static      Static      `yaml:"static"`
	Database    Database    `yaml:"database"`
	Routes      []Route     `yaml:"routes"`
	Disabled    bool        `yaml:"disabled"` // answer 404, start nothing
	Queue       Queue       `yaml:"queue"`
	Timeouts    Timeouts    `yaml:"timeouts"`
	Scaling     Scaling     `yaml:"scaling"`
	Environment Environment `yaml:"environment"`
	Rollout     Rollout     `yaml:"rollout"`

	ServerTiming ServerTiming `yaml:"server_timing"`
}

// ServerTiming tells clients in a header of the answer what their requests waited for.
type ServerTiming struct {
	Enabled bool         `yaml:"enabled"`
	Header  *HeaderMatch `yaml:"header"` // only requests with it are told; nil: all are
}

// Lambda names what to invoke.
type Lambda struct {
	FunctionName string        `yaml:"function_name"` // name or ARN; empty: the function's name
	Qualifier    string        `yaml:"qualifier"`     // version or alias; empty: $LATEST
	Region       string        `yaml:"region"`        // empty: that of AWS
	AssumeRole   string        `yaml:"assume_role"`   // ARN of the role that invokes it, in its account; empty: our own credentials do
	Timeout      time.Duration `yaml:"timeout"`       // the function's timeout as configured in Lambda
	MemoryMB     int           `yaml:"memory_mb"`     // as configured in Lambda; 0: learned from its reports
	Architecture string        `yaml:"architecture"`  // x86_64 or arm64; they have different prices
	Network      string        `yaml:"network"`       // vpc or public, for Findings; empty: not stated
}

// Static configures self-registering peers.
type Static struct {
	TokenFile string `yaml:"token_file"` // the token that a peer must present to register; at least 16 bytes
}

// Database describes a database that limits connections, and what the function takes of them. Only Findings uses it.
type Database struct {
	Name           string `yaml:"name"`            // functions with the same name share it
	Connections    int    `yaml:"connections"`     // of one environment; 0: none
	MaxConnections int    `yaml:"max_connections"` // for all functions that share it; 0: not stated
}

// A Route sends matching requests to the function. All given conditions must hold.
type Route struct {
	Listener    string       `yaml:"listener"` // empty: all
	Host        string       `yaml:"host"`     // exact, or *.example.com; empty: any
	Path        string       `yaml:"path"`     // prefix on segment borders; empty: any
	StripPrefix bool         `yaml:"strip_prefix"`
	Header      *HeaderMatch `yaml:"header"`
}

// Rollout says how instances with new code replace those with old code.
type Rollout struct {
	Watch     time.Duration `yaml:"watch"`      // interval at which Lambda is asked what the qualifier points to; 0: never
	Steps     []float64     `yaml:"steps"`      // shares of the capacity, rising; before the first one a single instance is tried
	Hold      time.Duration `yaml:"hold"`       // how long each step is watched
	MaxErrors float64       `yaml:"max_errors"` // share of 5xx answers beyond the old version's; above it the rollout is given up. 0: never
	MaxSlower float64       `yaml:"max_slower"` // times as slow as the old version, at the 99th percentile; 0: however slow
}

// A HeaderMatch holds when the header has exactly this value.
type HeaderMatch struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// Queue bounds the requests that wait for a slot.
type Queue struct {
	Limit   int           `yaml:"limit"`
	Timeout time.Duration `yaml:"timeout"`
}

// Timeouts bound a dispatched request. None of them counts time in the queue. Zero means no limit.
type Timeouts struct {
	FirstByte time.Duration `yaml:"first_byte"` // request complete to response headers
	Idle      time.Duration `yaml:"idle"`       // no byte in either direction
	Total     time.Duration `yaml:"total"`      // request complete to response complete
	// HalfClosed is how long an upgraded connection may last after its client has stopped sending. Never zero.
	HalfClosed time.Duration `yaml:"half_closed"`
}

// Environment bounds what one environment of Lambda serves before a new one takes its place.
type Environment struct {
	MaxRequests int           `yaml:"max_requests"` // 0: no bound
	MaxAge      time.Duration `yaml:"max_age"`      // 0: no bound
}

// Scaling bounds and shapes the pool of one function.
type Scaling struct {
	Concurrency      int           `yaml:"concurrency"` // slots of one instance; 0: learned, see Slots
	Min              int           `yaml:"min"`
	Max              int           `yaml:"max"`
	MaxEnvironments  int           `yaml:"max_environments"` // that may exist, running and frozen; 0: no bound
	StartsInProgress int           `yaml:"starts_in_progress"`
	StartsPerSecond  float64       `yaml:"starts_per_second"` // token bucket's refill
	StartsBurst      int           `yaml:"starts_burst"`      // token bucket's size
	StartTimeout     time.Duration `yaml:"start_timeout"`     // an instance that is not ready by then has failed
	Preference       string        `yaml:"preference"`        // cost, balanced or latency: what decides where they conflict
	DrainTimeout     time.Duration `yaml:"drain_timeout"`     // longest drain of an instance without a deadline of Lambda's; Timeouts.Total if that is longer
	Linger           time.Duration `yaml:"linger"`            // how long an instance is kept after its last answer, for what its app does then
	DollarsPerHour   float64       `yaml:"dollars_per_hour"`  // what the instances may cost; 0: no ceiling
}
