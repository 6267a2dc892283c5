package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
)

// split returns a configuration of a control plane whose relays are on other hosts.
func split(t *testing.T) Config {
	cfg := valid(t)
	cfg.Relay.Apart = true
	cfg.Cell.Address, cfg.Cell.ControlPlanes = "10.0.0.1:7444", []string{"a.example.com:7444", "b.example.com:7444"}
	cfg.Cell.SecretFile = write(t, "secret", string(identity.NewSecret()))
	cfg.Lease.Store, cfg.Lease.Table, cfg.Lease.Region = LeaseDynamoDB, "leases", "eu-central-1"
	return cfg
}

func TestACellAcrossHosts(t *testing.T) {
	require.NoError(t, split(t).Validate())
	many := make([]string, maxControlPlanes+1)
	for i := range many {
		many[i] = string(rune('a'+i)) + ".example.com:7444"
	}
	for want, spoil := range map[string]func(*Config){
		`cell.address: must be host:port, got "here"`:                                                    func(c *Config) { c.Cell.Address = "here" },
		`cell.control_planes[1]: must be host:port, got "b"`:                                             func(c *Config) { c.Cell.ControlPlanes[1] = "b" },
		`cell.control_planes[1]: "a.example.com:7444" is also cell.control_planes[0]`:                    func(c *Config) { c.Cell.ControlPlanes[1] = "a.example.com:7444" },
		`cell.control_planes[0]: must be an address that relays and Envoys can dial, got "0.0.0.0:7444"`: func(c *Config) { c.Cell.ControlPlanes[0] = "0.0.0.0:7444" },
		`cell.control_planes[0]: must be an address that relays and Envoys can dial, got "a:0"`:          func(c *Config) { c.Cell.ControlPlanes[0] = "a:0" },
		"cell.control_planes: must have at most 16 elements, got 17":                                     func(c *Config) { c.Cell.ControlPlanes = many },
		`cell.address: "10.0.0.1:7444" is reached from other hosts, so cell.secret_file or cell.certificate_file must be set`: func(c *Config) {
			c.Cell.SecretFile, c.Cell.ControlPlanes = "", nil
		},
		"cell.secret_file: open /nowhere: no such file or directory":                       func(c *Config) { c.Cell.SecretFile = "/nowhere" },
		"cell.token_key_file: has no effect, because cell.secret_file makes the key":       func(c *Config) { c.Cell.TokenKeyFile = write(t, "k", string(identity.NewSecret())) },
		"cell.key_file: must be set":                                                       func(c *Config) { c.Cell.CertificateFile, c.Cell.CAFile = c.Cell.SecretFile, c.Cell.SecretFile },
		`cell.trust_domain: `:                                                              func(c *Config) { c.Cell.TrustDomain = "Not a domain" },
		`lease.store: must be one of file, dynamodb, got "paper"`:                          func(c *Config) { c.Lease.Store = "paper" },
		"lease.table: has no effect, because lease.store is file":                          func(c *Config) { c.Lease.Store, c.Cell.ControlPlanes = LeaseFile, nil },
		`lease.table: must be the name or ARN of a DynamoDB table, got "t"`:                func(c *Config) { c.Lease.Table = "t" },
		`lease.item: must be 1 to 255 letters, digits, and . _ or -, got ""`:               func(c *Config) { c.Lease.Item = "" },
		`lease.region: must be a region such as eu-central-1, got "Frankfurt"`:             func(c *Config) { c.Lease.Region = "Frankfurt" },
		`lease.endpoint: must be a URL such as http://127.0.0.1:8000, got "127.0.0.1:800"`: func(c *Config) { c.Lease.Endpoint = "127.0.0.1:800" },
		"lease.store: is file, which control planes of one host share, and cell.control_planes has several beyond this host: a.example.com:7444, b.example.com:7444; use dynamodb": func(c *Config) {
			c.Lease = Default().Lease
		},
	} {
		cfg := split(t)
		spoil(&cfg)
		require.ErrorContains(t, cfg.Validate(), want)
	}
}

// What has an effect only where relays are apart is not passed over in silence where they are not.
func TestACellNeedsRelaysApart(t *testing.T) {
	cfg := split(t)
	cfg.Relay.Apart = false
	secret := cfg.Cell.SecretFile
	cfg.Cell.CertificateFile, cfg.Cell.KeyFile, cfg.Cell.CAFile, cfg.Cell.TokenKeyFile = secret, secret, secret, secret
	err := cfg.Validate()
	for _, key := range []string{
		"cell.address", "cell.control_planes", "cell.secret_file", "cell.certificate_file", "cell.key_file", "cell.ca_file", "cell.token_key_file", "lease.store",
	} {
		require.ErrorContains(t, err, key+": has no effect, because relay.apart is false")
	}
}

func TestAnAddressOfThisHostNeedsNoCertificate(t *testing.T) {
	cfg := split(t)
	cfg.Cell.SecretFile, cfg.Lease = "", Default().Lease
	cfg.Cell.Address, cfg.Cell.ControlPlanes = "127.0.0.1:7444", []string{"localhost:7444", "[::1]:7444"}
	require.NoError(t, cfg.Validate())
}
