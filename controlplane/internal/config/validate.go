package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
)

// Values of relay.tls.
const (
	RelayTLSAuto  = "auto"  // a certificate of our own CA, made at start; peers get the CA in their invocation
	RelayTLSFiles = "files" // the configured certificate
	RelayTLSOff   = "off"   // plain TCP
)

// Values of functions[].provider.
const (
	ProviderLambda = "lambda" // instances are invocations
	ProviderStatic = "static" // instances register by themselves
)

// Values of functions[].lambda.architecture.
const (
	ArchitectureX86 = "x86_64"
	ArchitectureARM = "arm64"
)

// Architectures lists them.
func Architectures() []string { return []string{ArchitectureX86, ArchitectureARM} }

// Values of functions[].lambda.network. Empty: not stated.
const (
	NetworkVPC    = "vpc"
	NetworkPublic = "public" // outside of a VPC
)

// Values of functions[].scaling.preference.
const (
	PreferCost     = "cost"     // no idle slot, no environment beyond the peak; wait a little instead
	PreferBalanced = "balanced" // idle slots where they are a small part, and environments for the next peak
	PreferLatency  = "latency"  // more of both
)

// MaxNameLength limits the names of functions and listeners, in bytes. They become parts of file and cluster names.
const MaxNameLength = 40

// IsName tells whether a function or a listener may be called so.
func IsName(name string) bool { return len(name) <= MaxNameLength && namePattern.MatchString(name) }

// MaxInstances limits scaling.max. An endpoint's number has four digits, and during a rotation each instance may have a replacement
// beside it.
const MaxInstances = 5000

// MaxConcurrency limits scaling.concurrency.
const MaxConcurrency = 1000

// maxSocketPath is the longest path of a socket on Linux, in bytes: what fits sockaddr_un without the final zero.
const maxSocketPath = 107

// MaxStateDir limits the length of state_dir, in bytes.
const MaxStateDir = maxSocketPath - MaxNameLength - len(endpointSuffix)

// endpointSuffix is the longest that an endpoint's socket adds to the state directory and the function's name.
const endpointSuffix = "/e/" + "-9999.sock"

var (
	namePattern      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	regionPattern    = regexp.MustCompile(`^([a-z]*|[a-z0-9-]+-[0-9]+)$`) // eu-central-1a is a zone; a word may be an emulator's
	qualifierPattern = regexp.MustCompile(`^[A-Za-z0-9_$-]{0,128}$`)
)

// Validate returns an error that names every mistake, one a line, each with its path; nil if there is none. It reads the files that the
// configuration names, and opens no address.
func (c Config) Validate() error {
	var p problems
	c.validateStateDir(&p)
	c.validateListeners(&p)
	c.Admin.validate(&p, c.Relay.Admin)
	within(&p, "shutdown.grace", c.Shutdown.Grace, 0, 10*time.Minute)
	c.Relay.validate(&p)
	c.Cell.validate(&p)
	c.Lease.validate(&p)
	c.validateApart(&p)
	c.Signing.validate(&p)
	c.AWS.validate(&p)
	c.Pricing.validate(&p)
	oneOf(&p, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(&p, "log.format", c.Log.Format, "text", "json")
	c.AccessLog.validate(&p)
	c.Tracing.validate(&p)
	c.EMF.validate(&p)
	c.validateSharing(&p)
	c.validateFunctions(&p)
	c.validateDatabases(&p)
	c.validateAccounts(&p)
	c.validateCeilings(&p)
	return p.err()
}

func (c Config) validateStateDir(p *problems) {
	if !filepath.IsAbs(c.StateDir) {
		p.add("state_dir", "must be an absolute path, got %q", c.StateDir)
		return
	}
	if limit := MaxStateDir; len(filepath.Clean(c.StateDir)) > limit {
		p.add("state_dir", "must be at most %d bytes long, because a socket's path may have %d; got %d",
			limit, maxSocketPath, len(filepath.Clean(c.StateDir)))
	}
}

func (c Config) validateListeners(p *problems) {
	if len(c.Listeners) == 0 {
		p.add("listeners", "must have at least one element")
	}
	names := map[string]string{}
	for i, listener := range c.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		checkName(p, path+".name", listener.Name)
		checkUnique(p, path+".name", listener.Name, names)
		listener.validate(p, path)
	}
}

func (l Listener) validate(p *problems, path string) {
	checkListenAddress(p, path+".address", l.Address)
	if l.TLS != nil {
		checkKeyPair(p, path+".tls", l.TLS.CertificateFile, l.TLS.KeyFile)
	}
	within(p, path+".max_request_headers_kib", l.MaxRequestHeaders, 1, 8192)
	within(p, path+".trusted_hops", l.TrustedHops, 0, 32)
	if l.HealthPath == "/" {
		p.add(path+".health_path", "must not be / alone, which no function could serve then")
	}
	checkPrefix(p, path+".health_path", l.HealthPath)
}

// validate refuses an address that other machines may reach without a token, unless Open allows it. relay is the admin address of a relay
// of its own.
func (a Admin) validate(p *problems, relay string) {
	checkAddress(p, "admin.address", a.Address)
	for i, host := range a.Hosts {
		checkHost(p, fmt.Sprintf("admin.hosts[%d]", i), host)
	}
	if a.TokenFile != "" {
		checkContents(p, "admin.token_file", ParseAdminToken, a.TokenFile)
		if a.Open {
			p.add("admin.open", "has no effect, because admin.token_file is set")
		}
		return
	}
	for _, one := range [][2]string{{"admin.address", a.Address}, {"relay.admin", relay}} {
		if !a.Open && beyondLoopback(one[1]) {
			p.add("admin.token_file", "must be set, because other machines may reach %s %s; admin.open: true lets them in without a token", one[0], one[1])
		}
	}
}

func (r Relay) validate(p *problems) {
	checkAddress(p, "relay.address", r.Address)
	r.validateAdvertise(p)
	oneOf(p, "relay.tls", r.TLS, RelayTLSAuto, RelayTLSFiles, RelayTLSOff)
	r.validateFiles(p)
	within(p, "relay.tunnel_wait", r.TunnelWait, time.Millisecond, time.Minute)
	within(p, "relay.max_connections", r.MaxConnections, 2, 1_000_000)
	if r.Admin != "" {
		checkAddress(p, "relay.admin", r.Admin)
	}
	if r.Name != "" {
		checkName(p, "relay.name", r.Name)
	}
	if !r.Apart {
		unused(p, "relay.name", r.Name, "relay.apart is false")
		unused(p, "relay.admin", r.Admin, "relay.apart is false")
	}
}

// validateAdvertise refuses an address that no peer can dial.
func (r Relay) validateAdvertise(p *problems) {
	if slices.Contains(Found, r.Advertise) {
		if strings.HasSuffix(r.Address, ":0") {
			p.add("relay.advertise", "%s needs a port in relay.address, got %q", r.Advertise, r.Address)
		}
		return
	}
	if r.Advertise == "" {
		if everyInterface(r.Address) {
			p.add("relay.advertise", "must be set, because peers cannot dial relay.address %q", r.Address)
		}
		return
	}
	checkAddress(p, "relay.advertise", r.Advertise)
	if everyInterface(r.Advertise) || strings.HasSuffix(r.Advertise, ":0") {
		p.add("relay.advertise", "must be an address that peers can dial, got %q", r.Advertise)
	}
}

func (r Relay) validateFiles(p *problems) {
	if r.TLS == RelayTLSFiles {
		ok := checkKeyPair(p, "relay", r.CertificateFile, r.KeyFile)
		if r.CAFile != "" {
			ok = checkContents(p, "relay.ca_file", parseCA, r.CAFile) && ok
		}
		if ok {
			checkContents(p, "relay.certificate_file", ParseRelayPair, r.Files()...)
		}
		return
	}
	unused(p, "relay.certificate_file", r.CertificateFile, "relay.tls is "+r.TLS)
	unused(p, "relay.key_file", r.KeyFile, "relay.tls is "+r.TLS)
	unused(p, "relay.ca_file", r.CAFile, "relay.tls is "+r.TLS)
}

func (s Signing) validate(p *problems) {
	if s.KeyFile == "" {
		return
	}
	if _, err := signing.Load(s.KeyFile); err != nil {
		p.add("signing.key_file", "%w", err)
	}
}

func (a AWS) validate(p *problems) {
	if !regionPattern.MatchString(a.Region) {
		p.add("aws.region", "must be a region such as eu-central-1, got %q", a.Region)
	}
	checkURL(p, "aws.endpoint", a.Endpoint, "http://127.0.0.1:9001")
	within(p, "aws.account_concurrency", a.AccountConcurrency, 0, 1_000_000)
}

// checkURL accepts nothing, or a URL of HTTP.
func checkURL(p *problems, path, text, example string) {
	if text == "" {
		return
	}
	endpoint, err := url.Parse(text)
	if err != nil || endpoint.Host == "" || !slices.Contains([]string{"http", "https"}, endpoint.Scheme) {
		p.add(path, "must be a URL such as %s, got %q", example, text)
	}
}

// validateSharing refuses an address that two parts would open.
func (c Config) validateSharing(p *problems) {
	var claimed [][2]string // path and address
	claim := func(path, address string) {
		for _, one := range claimed {
			if owner, other := one[0], one[1]; other == address && !strings.HasSuffix(address, ":0") {
				p.add(path, "is also the address of %s: %s", owner, address)
				break
			} else if overlap(address, other) {
				p.add(path, "%s and %s of %s are the same port of one address, which only one of them can open", address, other, owner)
				break
			}
		}
		claimed = append(claimed, [2]string{path, address})
	}
	for i, listener := range c.Listeners {
		claim(fmt.Sprintf("listeners[%d].address", i), listener.Address)
	}
	claim("admin.address", c.Admin.Address)
	claim("relay.address", c.Relay.Address)
	if c.Relay.Admin != "" {
		claim("relay.admin", c.Relay.Admin)
	}
	if c.Cell.Address != "" {
		claim("cell.address", c.Cell.Address)
	}
}
