package config

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
)

// valid returns a configuration with one function per provider.
func valid(t *testing.T) Config {
	web, static := DefaultFunction(), DefaultFunction()
	web.Name, web.Routes = "web", []Route{{Path: "/web", Host: "*.example.com", StripPrefix: true}}
	static.Name, static.Provider, static.Routes = "boxes", ProviderStatic, []Route{{Header: &HeaderMatch{"x-a", "b"}}}
	static.Static.TokenFile = write(t, "token", strings.Repeat("t", minToken)+"\n")
	cfg := Default()
	cfg.Relay.TLS = RelayTLSOff
	cfg.Functions = []Function{web, static}
	return cfg
}

// write makes a file and returns its path.
func write(t *testing.T, name, text string) string {
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// keyPair makes a certificate and its key and returns their paths.
func keyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	return keyPairUntil(t, time.Now().Add(time.Hour))
}

// keyPairUntil is valid for hours before a time.
func keyPairUntil(t *testing.T, end time.Time) (certificate, key string) {
	t.Helper()
	return keypairtest.Files(t, keypairtest.Wish{Names: []string{"relay.test"}, From: end.Add(-2 * time.Hour), Until: end})
}

func TestValidateRefuses(t *testing.T) {
	const name = "must be 1 to 40 lower-case letters, digits and inner hyphens, got "
	tests := []struct {
		spoil func(*Config)
		want  string
	}{
		{func(c *Config) { c.StateDir = "run" }, `state_dir: must be an absolute path, got "run"`},
		{
			func(c *Config) { c.StateDir = "/" + strings.Repeat("d", 54) },
			"state_dir: must be at most 54 bytes long, because a socket's path may have 107; got 55",
		},
		{func(c *Config) { c.Listeners = nil }, "listeners: must have at least one element"},
		{
			func(c *Config) { c.Admin.Address = "0.0.0.0:9900" },
			"admin.token_file: must be set, because other machines may reach admin.address 0.0.0.0:9900; admin.open: true lets them in without a token",
		},
		{
			func(c *Config) { c.Admin.Address = "ops.internal:9900" },
			"admin.token_file: must be set, because other machines may reach admin.address ops.internal:9900; admin.open: true lets them in without a token",
		},
		{
			func(c *Config) { c.Relay.Apart, c.Relay.Admin = true, ":9901" },
			"admin.token_file: must be set, because other machines may reach relay.admin :9901; admin.open: true lets them in without a token",
		},
		{func(c *Config) { c.Relay.Name = "edge" }, "relay.name: has no effect, because relay.apart is false"},
		{
			func(c *Config) { c.Relay.Apart, c.Relay.Name = true, "Edge" },
			`relay.name: must be 1 to 40 lower-case letters, digits and inner hyphens, got "Edge"`,
		},
		{func(c *Config) { c.Admin.TokenFile = write(t, "token", "short") }, "admin.token_file: must hold a token of at least 16 bytes, got 5"},
		{
			func(c *Config) { c.Admin.TokenFile = write(t, "token", "one-token-of-sixteen\nanother-of-sixteen") },
			"admin.token_file: must hold one token of visible ASCII characters, without a blank in it",
		},
		{func(c *Config) { c.Admin.TokenFile = "/nowhere" }, "admin.token_file: open /nowhere: no such file or directory"},
		{
			func(c *Config) { c.Admin.TokenFile, c.Admin.Open = write(t, "token", "one-token-of-sixteen"), true },
			"admin.open: has no effect, because admin.token_file is set",
		},
		{func(c *Config) { c.Listeners[0].Name = "Front" }, `listeners[0].name: ` + name + `"Front"`},
		{func(c *Config) { c.Listeners[0].Address = "localhost:8080" }, "listeners[0].address: must be ip:port, such as " +
			`127.0.0.1:8080 or 0.0.0.0:8080 for every interface, got "localhost:8080"`},
		{
			func(c *Config) { c.Listeners[0].MaxRequestHeaders = 0 },
			"listeners[0].max_request_headers_kib: must be between 1 and 8192, got 0",
		},
		{func(c *Config) { c.Listeners[0].TrustedHops = -1 }, "listeners[0].trusted_hops: must be between 0 and 32, got -1"},
		{
			func(c *Config) { c.Listeners[0].TLS = &ListenerTLS{CertificateFile: "/"} },
			"listeners[0].tls.certificate_file: must be a file: /\nlisteners[0].tls.key_file: must be set",
		},
		{
			func(c *Config) { c.Listeners = append(c.Listeners, c.Listeners[0]) },
			"listeners[1].name: \"front\" is also listeners[0].name\n" +
				"listeners[1].address: is also the address of listeners[0].address: 127.0.0.1:8080",
		},
		{func(c *Config) { c.Admin.Address = "9900" }, `admin.address: must be host:port, got "9900"`},
		{func(c *Config) { c.Admin.Address = "a:99999" }, `admin.address: must be host:port, got "a:99999"`},
		{
			func(c *Config) { c.Admin.Address = c.Relay.Address },
			"relay.address: is also the address of admin.address: 127.0.0.1:7443",
		},
		{
			func(c *Config) { c.Relay.Address, c.Relay.Advertise = "0.0.0.0:9900", "10.0.0.1:7443" },
			"relay.address: 0.0.0.0:9900 and 127.0.0.1:9900 of admin.address are the same port of one address, which only one of them can open",
		},
		{
			func(c *Config) { c.Relay.Address, c.Relay.Advertise = ":8080", "10.0.0.1:7443" },
			"relay.address: :8080 and 127.0.0.1:8080 of listeners[0].address are the same port of one address, which only one of them can open",
		},
		{
			func(c *Config) { c.Relay.Address = ":7443" },
			`relay.advertise: must be set, because peers cannot dial relay.address ":7443"`,
		},
		{
			func(c *Config) { c.Relay.Advertise = "10.0.0.1:0" },
			`relay.advertise: must be an address that peers can dial, got "10.0.0.1:0"`,
		},
		{func(c *Config) { c.Relay.TLS = "maybe" }, `relay.tls: must be one of auto, files, off, got "maybe"`},
		{
			func(c *Config) { c.Relay.TLS = RelayTLSAuto },
			"functions[1].provider: static needs relay.tls files or off: a CA made at start is handed over in invocations only",
		},
		{func(c *Config) { c.Relay.KeyFile = "x" }, "relay.key_file: has no effect, because relay.tls is off"},
		{
			func(c *Config) { c.Relay.TLS = RelayTLSFiles },
			"relay.certificate_file: must be set\nrelay.key_file: must be set",
		},
		{func(c *Config) { c.Relay.TunnelWait = 0 }, "relay.tunnel_wait: must be between 1ms and 1m0s, got 0s"},
		{func(c *Config) { c.Relay.MaxConnections = 1 }, "relay.max_connections: must be between 2 and 1000000, got 1"},
		{func(c *Config) { c.AWS.Region = "EU!" }, `aws.region: must be a region such as eu-central-1, got "EU!"`},
		{func(c *Config) { c.AWS.Region = "eu-central-1a" }, `aws.region: must be a region such as eu-central-1, got "eu-central-1a"`},
		{func(c *Config) { c.AWS.Region = "eu-central" }, `aws.region: must be a region such as eu-central-1, got "eu-central"`},
		{
			func(c *Config) { c.AWS.Endpoint = "localhost:9001" },
			`aws.endpoint: must be a URL such as http://127.0.0.1:9001, got "localhost:9001"`,
		},
		{func(c *Config) { c.Log.Level = "loud" }, `log.level: must be one of debug, info, warn, error, got "loud"`},
		{func(c *Config) { c.Log.Format = "xml" }, `log.format: must be one of text, json, got "xml"`},
		{func(c *Config) { c.Functions[0].Name = "we_b" }, `functions[0].name: ` + name + `"we_b"`},
		{
			func(c *Config) { c.Functions[0].Name = strings.Repeat("w", 41) },
			`functions[0].name: ` + name + `"` + strings.Repeat("w", 41) + `"`,
		},
		{func(c *Config) { c.Functions[1].Name = "web" }, `functions[1].name: "web" is also functions[0].name`},
		{
			func(c *Config) { c.Functions[0].Provider = "" },
			`functions[0].provider: must be one of lambda, static, got ""`,
		},
		{
			func(c *Config) { c.Functions[0].Lambda.FunctionName = "a b" },
			`functions[0].lambda.function_name: must be a function's name or ARN, got "a b"; an alias or a version goes into qualifier`,
		},
		{
			func(c *Config) { c.Functions[0].Lambda.FunctionName = "web:live" },
			`functions[0].lambda.function_name: must be a function's name or ARN, got "web:live"; an alias or a version goes into qualifier`,
		},
		{
			func(c *Config) { c.AWS.Region, c.Functions[0].Lambda.FunctionName = "eu-west-1", someARN },
			"functions[0].lambda.function_name: is in us-east-1, and is invoked in eu-west-1; set region to us-east-1",
		},
		{
			func(c *Config) {
				c.Functions[0].Lambda.FunctionName, c.Functions[0].Lambda.Qualifier = someARN+":8", "live"
			},
			`functions[0].lambda.qualifier: is "live", and function_name ends with "8"; leave one of them out`,
		},
		{
			func(c *Config) { c.Functions[0].Lambda.Qualifier = "a:b" },
			`functions[0].lambda.qualifier: must be a version or an alias, got "a:b"`,
		},
		{
			func(c *Config) { c.Functions[0].Lambda.Timeout = 901 * time.Second },
			"functions[0].lambda.timeout: must be between 1s and 15m0s, got 15m1s",
		},
		{
			func(c *Config) { c.Functions[0].Lambda.Timeout = 1500 * time.Millisecond },
			"functions[0].lambda.timeout: must be whole seconds, as in Lambda, got 1.5s",
		},
		{
			func(c *Config) { c.Functions[0].Static.TokenFile = "x" },
			"functions[0].static.token_file: has no effect, because provider is lambda",
		},
		{
			func(c *Config) { c.Functions[1].Lambda.Qualifier = "live" },
			"functions[1].lambda.qualifier: has no effect, because provider is static",
		},
		{
			func(c *Config) { c.Functions[1].Static.TokenFile = "" },
			"functions[1].static.token_file: must be set, because provider is static",
		},
		{
			func(c *Config) { c.Functions[0].Routes = nil },
			"functions[0].routes: must have at least one element, or no request reaches the function",
		},
		{
			func(c *Config) { c.Functions[0].Queue = Queue{Limit: -1} },
			"functions[0].queue.limit: must be between 0 and 1000000, got -1\n" +
				"functions[0].queue.timeout: must be positive, got 0s",
		},
		{
			func(c *Config) { c.Functions[0].Queue.Timeout = 2 * time.Hour },
			"functions[0].queue.timeout: must be at most 30m0s, got 2h0m0s",
		},
		{
			func(c *Config) { c.Admin.Hosts = []string{"ops.example", "ops:9900"} },
			`admin.hosts[1]: must be a lower-case host name without a port, such as example.com or *.example.com, got "ops:9900"`,
		},
		{
			func(c *Config) { c.Functions[0].Timeouts = Timeouts{-1, -1, -1, 0} },
			"functions[0].timeouts.first_byte: must be between 0s and 24h0m0s, got -1ns\n" +
				"functions[0].timeouts.idle: must be between 0s and 24h0m0s, got -1ns\n" +
				"functions[0].timeouts.total: must be between 0s and 24h0m0s, got -1ns\n" +
				"functions[0].timeouts.half_closed: must be between 1ms and 1h0m0s, got 0s",
		},
		{
			func(c *Config) {
				c.Functions[0].Scaling = Scaling{Concurrency: 1001, Min: 2, Max: 1, Preference: "speed"}
			},
			"functions[0].scaling.concurrency: must be between 0 and 1000, got 1001\n" +
				"functions[0].scaling.min: must be at most max, got 2 with max 1\n" +
				"functions[0].scaling.starts_in_progress: must be between 1 and 1000, got 0\n" +
				"functions[0].scaling.starts_per_second: must be more than 0 and at most 1000, got 0\n" +
				"functions[0].scaling.starts_burst: must be between 1 and 1000, got 0\n" +
				"functions[0].scaling.start_timeout: must be positive, got 0s\n" +
				"functions[0].scaling.preference: must be one of cost, balanced, latency, got \"speed\"\n" +
				"functions[0].scaling.drain_timeout: must be positive, got 0s",
		},
		{
			func(c *Config) {
				c.Functions[0].Rollout = Rollout{
					Watch: time.Millisecond, Steps: []float64{0.5, 0.5, math.NaN(), 1.5}, Hold: -1, MaxErrors: math.NaN(), MaxSlower: 1,
				}
			},
			"functions[0].rollout.watch: must be between 1s and 1h0m0s, got 1ms\n" +
				"functions[0].rollout.steps[1]: must be above the one before and at most 1, got 0.5\n" +
				"functions[0].rollout.steps[2]: must be above the one before and at most 1, got NaN\n" +
				"functions[0].rollout.steps[3]: must be above the one before and at most 1, got 1.5\n" +
				"functions[0].rollout.hold: must be between 0s and 1h0m0s, got -1ns\n" +
				"functions[0].rollout.max_errors: must be 0 to 1, got NaN\n" +
				"functions[0].rollout.max_slower: must be 0, or above 1 and at most 1000, got 1",
		},
		{
			func(c *Config) {
				c.Functions[0].Rollout.Steps = nil
				for n := range MaxSteps + 1 {
					c.Functions[0].Rollout.Steps = append(c.Functions[0].Rollout.Steps, float64(n+1)/100)
				}
			},
			"functions[0].rollout.steps: must be at most 20, got 21",
		},
		{
			func(c *Config) { c.Functions[0].Routes[0].Listener = "frond" },
			`functions[0].routes[0].listener: unknown listener "frond", did you mean front?`,
		},
		{func(c *Config) { c.Functions[0].Routes[0].Path = "/" }, "functions[0].routes[0].strip_prefix: needs a path to strip"},
		{
			func(c *Config) { c.Functions[0].Routes[0].Path = "/a/" },
			`functions[0].routes[0].path: must not end with a slash: "/a" matches what is below it too`,
		},
		{
			func(c *Config) { c.Functions[1].Routes[0].Header = &HeaderMatch{"a b", "\n"} },
			"functions[1].routes[0].header.name: must be a header's name, got \"a b\"\n" +
				"functions[1].routes[0].header.value: must be a header's value without control characters, got \"\\n\"",
		},
		{
			func(c *Config) { c.Functions[1].Routes[0].Header.Name = "Host" },
			"functions[1].routes[0].header.name: must not be host: use the route's host",
		},
		{
			func(c *Config) { c.Functions[1].Routes = c.Functions[0].Routes },
			"functions[1].routes[0]: has the same conditions as functions[0].routes[0]",
		},
	}
	require.NoError(t, valid(t).Validate())
	for _, test := range tests {
		cfg := valid(t)
		test.spoil(&cfg)
		require.EqualError(t, cfg.Validate(), test.want)
	}
}

const someARN = "arn:aws:lambda:us-east-1:123456789012:function:web"

// What says the same as other keys, or leaves it open.
func TestFunctionsMayBeNamedInFull(t *testing.T) {
	for _, l := range []Lambda{
		{},
		{FunctionName: "web"},
		{FunctionName: "123456789012:function:web", Qualifier: "live"},
		{FunctionName: someARN},
		{FunctionName: someARN, Region: "us-east-1", Qualifier: "live"},
		{FunctionName: someARN + ":live"},
		{FunctionName: someARN + ":live", Qualifier: "live"},
		{FunctionName: someARN + ":$LATEST"},
		{FunctionName: "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:web", Region: "us-gov-west-1"},
	} {
		c := valid(t)
		f := &c.Functions[0].Lambda
		f.FunctionName, f.Region, f.Qualifier = l.FunctionName, l.Region, l.Qualifier
		require.NoError(t, c.Validate(), l)
	}
}

// A port of every IPv6 address, as Envoy opens it, leaves that of IPv4 alone.
func TestAddressesThatDoNotOverlap(t *testing.T) {
	c := valid(t)
	c.Listeners[0].Address = "0.0.0.0:8080"
	c.Listeners = append(c.Listeners, Listener{Name: "six", Address: "[::]:8080", MaxRequestHeaders: 60})
	c.Relay.Address, c.Admin.Address = "127.0.0.1:0", "127.0.0.1:0"
	require.NoError(t, c.Validate())
}

func TestHostsAndPaths(t *testing.T) {
	hosts := map[string]bool{
		"": true, "a": true, "www.example.com": true, "*.example.com": true, "10.0.0.1": true,
		"*": false, "*.": false, "*.*.com": false, "A.com": false, "a.com:80": false, "a..b": false, "a.com.": false,
		"-a.com": false, "a b": false,
	}
	for host, ok := range hosts {
		var p problems
		checkHost(&p, "host", host)
		require.Equal(t, ok, p.err() == nil, host)
	}
	paths := map[string]bool{
		"": true, "/": true, "/a": true, "/a/b.c%20": true,
		"a": false, "//a": false, "/a//b": false, "/a/": false, "/a?b": false, "/a#b": false, "/a b": false, "/ä": false,
		"/a/../b": false, "/..": false, "/./a": false, "/a/.": false, "/a/%2e%2E/b": false, "/a/.%2e": false, "/%2E": false,
		"/a/...": true, "/.well-known": true, "/a..b/..c": true, "/a;b=c,d@e:f": true, "/a%2Fb": true,
		`/a\\b`: false, "/a%zz": false, "/a%2": false, "/[a]": false, "/{a}": false,
	}
	for path, ok := range paths {
		var p problems
		checkPrefix(&p, "path", path)
		require.Equal(t, ok, p.err() == nil, path)
	}
}

func TestRelayFiles(t *testing.T) {
	certificate, key := keyPair(t)
	another, other := keyPair(t)
	cfg := Default()
	cfg.Relay.TLS, cfg.Relay.CertificateFile, cfg.Relay.KeyFile, cfg.Relay.CAFile = RelayTLSFiles, certificate, key, certificate
	require.NoError(t, cfg.Validate())

	cfg.Relay.CAFile = another
	require.ErrorContains(t, cfg.Validate(), "relay.certificate_file: with ca_file: x509: ")

	cfg.Relay.KeyFile, cfg.Relay.CAFile = other, key
	err := cfg.Validate()
	require.ErrorContains(t, err, "relay.certificate_file: with key_file: tls: private key does not match public key")
	require.ErrorContains(t, err, "relay.ca_file: holds no PEM certificate")

	bundle := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, os.WriteFile(bundle, make([]byte, maxCA+1), 0o600))
	cfg.Relay.CAFile = bundle
	require.ErrorContains(t, cfg.Validate(), "relay.ca_file: must have at most 28672 bytes, got 28673")

	cfg.Relay.CAFile = filepath.Join(t.TempDir(), "none")
	require.ErrorIs(t, cfg.Validate(), os.ErrNotExist)
}

func TestListenersFiles(t *testing.T) {
	certificate, key := keyPair(t)
	_, other := keyPair(t)
	garbage := write(t, "garbage", "garbage\n")
	cfg := Default()
	try := func(certificate, key string) error {
		cfg.Listeners[0].TLS = &ListenerTLS{CertificateFile: certificate, KeyFile: key}
		return cfg.Validate()
	}
	require.NoError(t, try(certificate, key))
	require.ErrorContains(t, try(certificate, other), "listeners[0].tls.certificate_file: with key_file: tls: private key does not match")
	require.ErrorContains(t, try(garbage, garbage), "listeners[0].tls.certificate_file: with key_file: tls: failed to find any PEM data")
	require.ErrorContains(t, try("", garbage+".none"), "listeners[0].tls.certificate_file: must be set")
	require.ErrorIs(t, try("", garbage+".none"), os.ErrNotExist)
}

// What has expired is for check to refuse: a control plane that starts with it still serves everything else.
func TestValidity(t *testing.T) {
	now := time.Now()
	certificate, key := keyPairUntil(t, now.Add(20*24*time.Hour))
	soon, soonKey := keyPairUntil(t, now.Add(5*24*time.Hour+time.Minute))
	cfg := Default()
	cfg.Listeners = append(cfg.Listeners, cfg.Listeners[0])
	cfg.Listeners[0].TLS = &ListenerTLS{CertificateFile: soon, KeyFile: soonKey}
	cfg.Listeners[1].Name, cfg.Listeners[1].Address = "other", "127.0.0.1:8443"
	cfg.Listeners[1].TLS = &ListenerTLS{CertificateFile: certificate, KeyFile: key}
	cfg.Relay.TLS, cfg.Relay.CertificateFile, cfg.Relay.KeyFile, cfg.Relay.CAFile = RelayTLSFiles, certificate, key, certificate
	require.NoError(t, cfg.Validate())

	warnings, err := cfg.CheckValidity(now.Add(20*24*time.Hour - time.Minute))
	require.Len(t, warnings, 2)
	require.ErrorIs(t, err, keypair.ErrExpired)
	require.ErrorContains(t, err, "listeners[0].tls.certificate_file: the certificate has expired, at ")
	require.NotContains(t, err.Error(), "\n")

	warnings, err = cfg.CheckValidity(now.Add(20*24*time.Hour - 90*time.Minute))
	require.ErrorIs(t, err, keypair.ErrExpired)
	require.Len(t, warnings, 2)

	cfg.Listeners, cfg.Relay.TLS = cfg.Listeners[:1], RelayTLSAuto
	warnings, err = cfg.CheckValidity(now)
	require.ErrorIs(t, err, keypair.ErrNotYetValid)
	require.Empty(t, warnings)
	warnings, err = cfg.CheckValidity(now.Add(5*24*time.Hour - 30*time.Minute))
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "listeners[0].tls.certificate_file: the certificate expires in ")

	leaf, err := os.ReadFile(certificate)
	require.NoError(t, err)
	above, err := os.ReadFile(soon)
	require.NoError(t, err)
	chain := filepath.Join(t.TempDir(), "chain.crt")
	require.NoError(t, os.WriteFile(chain, append(leaf, above...), 0o600))
	cfg.Listeners[0].TLS = &ListenerTLS{CertificateFile: chain, KeyFile: key}
	warnings, err = cfg.CheckValidity(now.Add(20*24*time.Hour - 30*time.Minute))
	require.NoError(t, err)
	require.Len(t, warnings, 2)
	require.Contains(t, warnings[1], "listeners[0].tls.certificate_file: a certificate of the chain expires at ")
}

func TestValidityOfACertificateInAVariable(t *testing.T) {
	certificate, key := keyPairUntil(t, time.Now().Add(2*time.Hour))
	for name, file := range map[string]string{"OUR_CERTIFICATE": certificate, "OUR_KEY": key} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		t.Setenv(name, string(text))
	}
	cfg := Default()
	cfg.Listeners[0].TLS = &ListenerTLS{CertificateFile: "env:OUR_CERTIFICATE", KeyFile: "env:OUR_KEY"}
	require.NoError(t, cfg.Validate())
	_, err := cfg.CheckValidity(time.Now())
	require.NoError(t, err)
}

func TestSigningKeyFile(t *testing.T) {
	cfg := valid(t)
	cfg.Signing.KeyFile = filepath.Join(t.TempDir(), "signing.key")
	require.EqualError(t, cfg.Validate(), "signing.key_file: open "+cfg.Signing.KeyFile+": no such file or directory; "+
		"`lambda-dispatch key new "+cfg.Signing.KeyFile+"` makes one")
	require.NoError(t, signing.New().Save(cfg.Signing.KeyFile))
	require.NoError(t, cfg.Validate())
	_, cfg.Signing.KeyFile = keyPair(t)
	require.ErrorContains(t, cfg.Validate(), "signing.key_file: "+cfg.Signing.KeyFile+" holds ")
}

func TestTokenFile(t *testing.T) {
	cfg := valid(t)
	cfg.Functions[1].Static.TokenFile = write(t, "short", "  secret\n")
	err := cfg.Validate()
	require.EqualError(t, err, "functions[1].static.token_file: must hold a token of at least 16 bytes, got 6")
	cfg.Functions[1].Static.TokenFile += ".gone"
	require.ErrorIs(t, cfg.Validate(), os.ErrNotExist)
}

func TestStateDirOfGreatestLengthFits(t *testing.T) {
	cfg := Default()
	cfg.StateDir = "/" + strings.Repeat("d", 53)
	require.NoError(t, cfg.Validate())
	require.Len(t, cfg.StateDir+"/e/"+strings.Repeat("f", MaxNameLength)+"-9999.sock", 107)
}

// An admin address that only this machine reaches needs no token, nor one whose owner wants it so.
func TestWhichAdminAddressesNeedNoToken(t *testing.T) {
	for _, address := range []string{"127.0.0.1:9900", "127.9.9.9:1", "[::1]:9900", "[::ffff:127.0.0.1]:0", "localhost:9900"} {
		cfg := valid(t)
		cfg.Admin.Address = address
		require.NoError(t, cfg.Validate(), address)
	}
	cfg := valid(t)
	cfg.Admin.Address, cfg.Admin.Open = ":9900", true
	require.NoError(t, cfg.Validate())
	cfg.Admin.Open, cfg.Admin.TokenFile = false, write(t, "token", "one-token-of-sixteen\n")
	require.NoError(t, cfg.Validate())
}
