package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
)

// Cell is how control planes and pairs of Envoy and relay find and trust each other beyond one host. Without an address they meet by
// unix sockets in the state directory.
type Cell struct {
	Address       string   `yaml:"address"`        // host:port that a control plane listens on; empty: control.sock
	ControlPlanes []string `yaml:"control_planes"` // host:port of each: where relays and Envoys look; empty: control.sock
	// SecretFile makes certificates and the key of instances' tokens: one secret a line, the first to sign with.
	SecretFile string `yaml:"secret_file"`
	// The operator's own certificate of this process, instead of one made of the secret.
	CertificateFile string `yaml:"certificate_file"`
	KeyFile         string `yaml:"key_file"`
	CAFile          string `yaml:"ca_file"`
	TokenKeyFile    string `yaml:"token_key_file"` // where there is no secret: the key of instances' tokens
	TrustDomain     string `yaml:"trust_domain"`   // of the names in certificates
}

// TLS tells whether parts show each other certificates.
func (c Cell) TLS() bool { return c.SecretFile != "" || c.CertificateFile != "" }

// Split tells whether control planes are found by TCP, and not by a socket in the state directory.
func (c Cell) Split() bool { return c.Address != "" || len(c.ControlPlanes) > 0 }

// Files are those of the operator's certificate, in the order of ParseCellPair.
func (c Cell) Files() []string { return []string{c.CertificateFile, c.KeyFile, c.CAFile} }

// ParseCellPair returns a parser of the contents of certificate_file, key_file and ca_file, in that order. The certificate must be of
// the role; with an empty role it may be of any.
func (c Cell) ParseCellPair(role identity.Role) func([][]byte) (identity.Material, error) {
	return func(contents [][]byte) (identity.Material, error) {
		pair, err := keypair.Parse(contents[0], contents[1])
		if err != nil {
			return identity.Material{}, fmt.Errorf("with key_file: %w", err)
		}
		is := role
		if id, err := identity.Of(pair.Leaf(), c.TrustDomain); err == nil && role == "" {
			is = id.Role
		}
		m, err := identity.NewMaterial(c.TrustDomain, is, pair, contents[2])
		if err != nil {
			return m, fmt.Errorf("with ca_file: %w", err)
		}
		return m, nil
	}
}

// ParseSecrets reads secret_file.
func ParseSecrets(contents [][]byte) (identity.Secrets, error) {
	return identity.ParseSecrets(contents[0])
}

// ParseTokenKeys reads token_key_file.
func ParseTokenKeys(contents [][]byte) ([][]byte, error) { return identity.ParseKeys(contents[0]) }

func (c Cell) validate(p *problems) {
	c.validateAddresses(p)
	if err := identity.CheckDomain(c.TrustDomain); err != nil {
		p.add("cell.trust_domain", "%w", err)
	}
	if c.SecretFile != "" {
		checkContents(p, "cell.secret_file", ParseSecrets, c.SecretFile)
	}
	if c.TokenKeyFile != "" {
		checkContents(p, "cell.token_key_file", ParseTokenKeys, c.TokenKeyFile)
		if c.SecretFile != "" {
			unused(p, "cell.token_key_file", c.TokenKeyFile, "cell.secret_file makes the key")
		}
	}
	c.validateFiles(p)
}

func (c Cell) validateAddresses(p *problems) {
	if c.Address != "" {
		checkAddress(p, "cell.address", c.Address)
		c.requireTLS(p, "cell.address", c.Address)
	}
	seen := map[string]string{}
	for i, address := range c.ControlPlanes {
		path := fmt.Sprintf("cell.control_planes[%d]", i)
		checkAddress(p, path, address)
		checkUnique(p, path, address, seen)
		if everyInterface(address) || strings.HasSuffix(address, ":0") {
			p.add(path, "must be an address that relays and Envoys can dial, got %q", address)
		}
		c.requireTLS(p, path, address)
	}
	if len(c.ControlPlanes) > maxControlPlanes {
		p.add("cell.control_planes", "must have at most %d elements, got %d", maxControlPlanes, len(c.ControlPlanes))
	}
}

// maxControlPlanes bounds the leader and its standbys together.
const maxControlPlanes = 16

// requireTLS refuses an address that other hosts reach, unless certificates are shown and instances' tokens can be checked.
func (c Cell) requireTLS(p *problems, path, address string) {
	if onThisHost(address) {
		return
	}
	if !c.TLS() {
		p.add(path, "%q is reached from other hosts, so cell.secret_file or cell.certificate_file must be set", address)
	} else if c.SecretFile == "" && c.TokenKeyFile == "" {
		p.add(path, "%q is reached from other hosts, so cell.secret_file or cell.token_key_file must be set, with which instances' tokens are made and checked", address)
	}
}

// onThisHost tells whether only this host reaches an address. A name other than localhost may lead to another host.
func onThisHost(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return true // what is malformed has been reported
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (c Cell) validateFiles(p *problems) {
	if c.CertificateFile+c.KeyFile+c.CAFile == "" {
		return
	}
	before := len(p.found)
	checkFile(p, "cell.certificate_file", c.CertificateFile)
	checkFile(p, "cell.key_file", c.KeyFile)
	checkFile(p, "cell.ca_file", c.CAFile)
	if len(p.found) == before {
		checkContents(p, "cell.certificate_file", c.ParseCellPair(""), c.Files()...)
	}
}

// exposed returns a warning for each file with a secret that every user of this host may read or write.
func (c Cell) exposed() (warnings []string) {
	for _, one := range []struct{ path, file string }{
		{"cell.secret_file", c.SecretFile}, {"cell.key_file", c.KeyFile}, {"cell.token_key_file", c.TokenKeyFile},
	} {
		if info, err := os.Stat(one.file); one.file != "" && err == nil && info.Mode().Perm()&0o007 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s: everybody on this host may read or write %s (mode %04o)", one.path, one.file, info.Mode().Perm()))
		}
	}
	return warnings
}

// Values of lease.store.
const (
	LeaseFile     = "file"     // in the state directory: control planes of one host
	LeaseDynamoDB = "dynamodb" // an item of a table
)

// Lease is where control planes agree which of them leads. It has an effect only with relay.apart.
type Lease struct {
	Store    string `yaml:"store"`
	Table    string `yaml:"table"`    // with a string as its key, "name"
	Item     string `yaml:"item"`     // one for each cell
	Region   string `yaml:"region"`   // empty: aws.region, or else the SDK's default chain
	Endpoint string `yaml:"endpoint"` // URL of another DynamoDB; empty: AWS
}

var (
	tablePattern = regexp.MustCompile(`^([a-zA-Z0-9_.-]{3,255}|arn:[a-zA-Z0-9_.:/-]{20,1000})$`)
	itemPattern  = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,255}$`)
)

func (l Lease) validate(p *problems) {
	oneOf(p, "lease.store", l.Store, LeaseFile, LeaseDynamoDB)
	if l.Store != LeaseDynamoDB {
		for _, one := range [][2]string{{"lease.table", l.Table}, {"lease.region", l.Region}, {"lease.endpoint", l.Endpoint}} {
			unused(p, one[0], one[1], "lease.store is "+l.Store)
		}
		return
	}
	if !tablePattern.MatchString(l.Table) {
		p.add("lease.table", "must be the name or ARN of a DynamoDB table, got %q", l.Table)
	}
	if !itemPattern.MatchString(l.Item) {
		p.add("lease.item", "must be 1 to 255 letters, digits, and . _ or -, got %q", l.Item)
	}
	if !regionPattern.MatchString(l.Region) {
		p.add("lease.region", "must be a region such as eu-central-1, got %q", l.Region)
	}
	checkURL(p, "lease.endpoint", l.Endpoint, "http://127.0.0.1:8000")
}

// validateApart refuses keys that have an effect only with relay.apart. It also refuses a lease in a file that not all control planes see.
func (c Config) validateApart(p *problems) {
	if !c.Relay.Apart {
		for _, one := range [][2]string{
			{"cell.address", c.Cell.Address},
			{"cell.control_planes", strings.Join(c.Cell.ControlPlanes, "")},
			{"cell.secret_file", c.Cell.SecretFile},
			{"cell.certificate_file", c.Cell.CertificateFile},
			{"cell.key_file", c.Cell.KeyFile},
			{"cell.ca_file", c.Cell.CAFile},
			{"cell.token_key_file", c.Cell.TokenKeyFile},
		} {
			unused(p, one[0], one[1], "relay.apart is false")
		}
		if c.Lease.Store != LeaseFile {
			unused(p, "lease.store", c.Lease.Store, "relay.apart is false")
		}
		return
	}
	var others []string
	for _, address := range c.Cell.ControlPlanes {
		if !onThisHost(address) {
			others = append(others, address)
		}
	}
	if c.Lease.Store == LeaseFile && len(others) > 1 {
		p.add("lease.store", "is file, which control planes of one host share, and cell.control_planes has several beyond this host: %s; use dynamodb",
			strings.Join(others, ", "))
	}
}
