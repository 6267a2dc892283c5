package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// two is a configuration of two functions that adds up.
func two() Config {
	c := Default()
	c.Relay.Address, c.Relay.Advertise = "0.0.0.0:7443", "10.0.0.5:7443"
	for _, name := range []string{"web", "api"} {
		f := DefaultFunction()
		f.Name, f.Routes = name, []Route{{Path: "/" + name}}
		c.Functions = append(c.Functions, f)
	}
	return c
}

func TestWhatDoesNotAddUp(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"fine":         {func(*Config) {}, nil},
		"quota enough": {func(c *Config) { c.AWS.AccountConcurrency = 200 }, nil},
		"quota together": {func(c *Config) { c.AWS.AccountConcurrency = 199 }, []string{
			"warning: aws.account_concurrency: scaling.max of all functions adds up to 200, the account has 199 concurrent executions: functions whose peaks come " +
				"together throttle each other, and whatever else the account runs; lower scaling.max, give each function reserved concurrency, or have the quota raised",
		}},
		"quota above the bound of the account": {func(c *Config) {
			c.AWS.AccountConcurrency, c.Accounts = 199, []Account{{Instances: 199}}
		}, nil},
		"quota below the bound of the account": {func(c *Config) {
			c.AWS.AccountConcurrency, c.Accounts = 150, []Account{{Instances: 151}}
		}, []string{
			"warning: accounts[0].instances: bounds nothing: it allows 151 instances, the account has 150 concurrent executions; set it to 150 at most, or have the " +
				"quota raised and state it in aws.account_concurrency",
		}},
		"bound of another region": {func(c *Config) {
			c.AWS.AccountConcurrency, c.Accounts = 200, []Account{{Region: "eu-west-1", Instances: 900}}
		}, nil},
		"request longer than its invocation": {func(c *Config) {
			c.Functions[0].Lambda.Timeout, c.Functions[0].Timeouts.Total = 5*time.Minute, 5*time.Minute
			c.Functions[1].Lambda.Timeout, c.Functions[1].Timeouts.Total = 5*time.Minute, 6*time.Minute
		}, []string{
			"warning: functions[1].timeouts.total: 6m0s is never reached: a request ends with the invocation that serves it, after 5m0s at most; " +
				"lower it, or raise lambda.timeout if Lambda's is longer",
		}},
		"one disabled": {func(c *Config) { c.AWS.AccountConcurrency, c.Functions[1].Disabled = 100, true }, nil},
		"quota alone": {func(c *Config) { c.AWS.AccountConcurrency, c.Functions[1].Scaling.Max = 150, 151 }, []string{
			"error: functions[1].scaling.max: 151 instances cannot run: the account has 150 concurrent executions; set it to 150 at most, or have the quota " +
				"raised and state it in aws.account_concurrency",
		}},
		"minimum": {func(c *Config) {
			c.AWS.AccountConcurrency = 100
			c.Functions[0].Scaling.Min, c.Functions[1].Scaling.Min = 51, 50
		}, []string{
			"error: aws.account_concurrency: scaling.min of all functions adds up to 101, the account has 100 concurrent executions; lower scaling.min, or have the quota raised",
		}},
		"database alone": {func(c *Config) { c.Functions[0].Database = Database{"orders", 5, 624} }, []string{
			`error: functions[0].database.max_connections: environments of the functions that use "orders" may hold 625 connections, frozen ones included, and it ` +
				`allows 624; set scaling.max_environments to 124, or put a pooler before the database`,
		}},
		"database enough": {func(c *Config) { c.Functions[0].Database = Database{"orders", 5, 625} }, nil},
		"database bound": {func(c *Config) {
			c.Functions[0].Database, c.Functions[0].Scaling.MaxEnvironments = Database{"orders", 5, 100}, 20
		}, nil},
		"database shared": {func(c *Config) {
			for i, connections := range []int{5, 3} {
				c.Functions[i].Database, c.Functions[i].Scaling.MaxEnvironments = Database{"orders", connections, 100}, 20
			}
		}, []string{
			`error: functions[0].database.max_connections: environments of the functions that use "orders" may hold 160 connections, frozen ones included, and it ` +
				`allows 100; set scaling.max_environments to 12 in each of the 2 functions that share it, or put a pooler before the database`,
		}},
		"database too small": {func(c *Config) { c.Functions[0].Database = Database{"orders", 50, 40} }, []string{
			`error: functions[0].database.max_connections: environments of the functions that use "orders" may hold 6250 connections, frozen ones included, and it ` +
				`allows 40; lower database.connections, or put a pooler before the database`,
		}},
		"descriptors enough": {func(c *Config) { c.Functions[0].Scaling.Concurrency = 320 }, nil},
		"descriptors": {func(c *Config) { c.Functions[0].Scaling.Concurrency = 321 }, []string{
			"warning: functions[0].scaling.concurrency: 321 requests at once may need 1027 file descriptors in an environment, Lambda allows 1024; set it to 320 at most",
		}},
		"descriptors of the app": {func(c *Config) {
			c.Functions[0].Scaling.Concurrency, c.Functions[0].Database.Connections = 480, 60
		}, []string{
			"error: functions[0].scaling.concurrency: 480 requests at once may need 1564 file descriptors in an environment, Lambda allows 1024; set it to 300 at most",
		}},
		"relay": {func(c *Config) { c.Relay.MaxConnections = 749 }, []string{
			"warning: relay.max_connections: instances may need 750 connections to the relay, it takes 749; raise it, and the relay's limit of open files with it, or lower scaling.max",
		}},
		"concurrency 1": {func(c *Config) { c.Functions[1].Scaling.Concurrency = 1 }, []string{
			"warning: functions[1].scaling.concurrency: function api: with concurrency 1 plain Lambda is cheaper, the more so the shorter and the rarer the requests are: " +
				"a start bills some 20 ms more; lambda-dispatch estimate says by how much, and bill.saved_dollars in /api/v1 of what runs",
		}},
		"errors first": {func(c *Config) {
			c.Functions[0].Scaling.Concurrency = 1
			c.Functions = c.Functions[:1]
			c.Relay.Advertise = "127.0.0.1:7443"
		}, []string{
			"error: relay.advertise: function web would dial 127.0.0.1, which is its own environment; advertise an address of the relay's task or host that the function reaches",
			"warning: functions[0].scaling.concurrency: function web: with concurrency 1 plain Lambda is cheaper, the more so the shorter and the rarer the requests are: " +
				"a start bills some 20 ms more; lambda-dispatch estimate says by how much, and bill.saved_dollars in /api/v1 of what runs",
		}},
		"static is not invoked": {func(c *Config) {
			c.AWS.AccountConcurrency, c.Relay.Advertise, c.Functions = 1, "127.0.0.1:1", c.Functions[:1]
			c.Functions[0].Provider = ProviderStatic
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := two()
			tt.change(&c)
			require.Equal(t, tt.want, lines(c.Findings()))
		})
	}
}

func lines(findings []Finding) (out []string) {
	for _, f := range findings {
		kind := "warning: "
		if f.Error {
			kind = "error: "
		}
		out = append(out, kind+f.String())
	}
	return out
}

// Which addresses a function reaches depends on where it is.
func TestUnreachableNetworks(t *testing.T) {
	const fine, bad, dear = "", "error", "warning"
	for _, tt := range []struct {
		advertise             string
		unstated, vpc, public string
	}{
		{"127.0.0.1:7443", bad, bad, bad},
		{"[::1]:7443", bad, bad, bad},
		{"[::ffff:127.0.0.1]:7443", bad, bad, bad},
		{"localhost:7443", bad, bad, bad},
		{"Relay.Localhost.:7443", bad, bad, bad},
		{"169.254.1.2:7443", bad, bad, bad},
		{"[fe80::1]:7443", bad, bad, bad},
		{"10.0.0.5:7443", fine, fine, bad},
		{"172.16.0.5:7443", fine, fine, bad},
		{"192.168.1.5:7443", fine, fine, bad},
		{"100.64.3.4:7443", fine, fine, bad},
		{"[fd00::5]:7443", fine, fine, bad},
		{"ip-10-0-0-5.ec2.internal:7443", fine, fine, bad},
		{"relay:7443", fine, fine, bad},
		{"relay.example.com:7443", fine, fine, fine},
		{"203.0.113.7:7443", fine, dear, fine},
		{"[2001:db8::7]:7443", fine, fine, fine},
		{AdvertiseAuto, fine, fine, bad},
		{AdvertisePublic, fine, dear, fine},
		{AdvertiseIPv6, fine, fine, fine},
	} {
		for network, want := range map[string]string{"": tt.unstated, NetworkVPC: tt.vpc, NetworkPublic: tt.public} {
			c := two()
			c.Functions = c.Functions[:1]
			c.Relay.Advertise, c.Functions[0].Lambda.Network = tt.advertise, network
			got := fine
			for _, f := range c.Findings() {
				require.Equal(t, "relay.advertise", f.Key)
				require.NotEmpty(t, f.Remedy)
				got = dear
				if f.Error {
					got = bad
				}
			}
			require.Equal(t, want, got, "%s, network %q", tt.advertise, network)
		}
	}
}

func TestNetworksOfALocalLambdaAreNotJudged(t *testing.T) {
	c := two()
	c.Relay.Advertise = "127.0.0.1:7443"
	require.Len(t, c.Findings(), 2)
	c.AWS.Endpoint = "http://127.0.0.1:9001"
	require.Empty(t, c.Findings())
	c.AWS.Endpoint = "https://vpce-0a1b.lambda.eu-central-1.vpce.amazonaws.com"
	require.Len(t, c.Findings(), 2)
	c.Relay.Advertise, c.Functions[0].Lambda.Network = "relay.example.com:7443", NetworkPublic
	c.Relay.TLS = RelayTLSOff
	require.Equal(t, []string{
		"error: relay.tls: function web is outside of a VPC: its token and its requests pass networks of others unencrypted; set it to auto or files",
	}, lines(c.Findings()))
	c.Relay.Advertise, c.Relay.Address = "", "127.0.0.1:7443"
	require.Equal(t, "relay.address", c.Findings()[0].Key)
	c.Relay.TLS, c.Relay.Apart, c.Cell.Address = RelayTLSAuto, true, "0.0.0.0:7444"
	require.Empty(t, c.Findings(), "the relays are on other hosts")
}

func TestDatabasesMustAgree(t *testing.T) {
	c := two()
	c.Functions[0].Database, c.Functions[1].Database = Database{"orders", 5, 100}, Database{"orders", 5, 200}
	require.EqualError(t, c.Validate(), "functions[1].database.max_connections: must be that of functions[0].database, which has the same name: 100, got 200")
	c.Functions[1].Database = Database{"", 5, 0}
	require.EqualError(t, c.Validate(), "functions[1].database.name: must be set: functions with the same name share a database")
	c.Functions[1].Database, c.AWS.AccountConcurrency, c.Functions[1].Lambda.Network = Database{"x", -1, -1}, -1, "moon"
	require.EqualError(t, c.Validate(), "aws.account_concurrency: must be between 0 and 1000000, got -1\n"+
		`functions[1].lambda.network: must be one of vpc, public, got "moon"`+"\n"+
		"functions[1].database.connections: must be between 0 and 10000, got -1\n"+
		"functions[1].database.max_connections: must be between 0 and 1000000, got -1")
}
