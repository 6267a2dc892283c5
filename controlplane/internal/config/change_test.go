package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEveryKeySaysWhenAChangeTakesEffect holds the table of effects equal to the tree. The page is held by TestDocumentListsEveryKey.
func TestEveryKeySaysWhenAChangeTakesEffect(t *testing.T) {
	known := map[string]bool{}
	for _, k := range documentedKeys() {
		known[k.path] = true
		require.Contains(t, []Effect{AtOnce, NextStart, AtRestart}, effects[k.path],
			"effects does not say when another %s takes effect: add it there, and to docs/configuration.md", k.path)
	}
	for path := range effects {
		require.True(t, known[path], "effects has %s, which is no key", path)
	}
}

func running() Config {
	c := Default()
	for _, name := range []string{"web", "jobs"} {
		f := DefaultFunction()
		f.Name, f.Routes = name, []Route{{Host: name + ".example.com"}}
		c.Functions = append(c.Functions, f)
	}
	return c
}

func TestWhatAReloadChanges(t *testing.T) {
	for name, one := range map[string]struct {
		change         func(*Config)
		taken, restart []string
	}{
		"nothing":               {change: func(*Config) {}},
		"an empty list":         {change: func(c *Config) { c.Admin.Hosts, c.Functions[0].Rollout.Steps = []string{}, []float64{} }},
		"the order":             {change: func(c *Config) { c.Functions[0], c.Functions[1] = c.Functions[1], c.Functions[0] }, taken: []string{"functions"}},
		"a limit":               {change: func(c *Config) { c.Functions[1].Queue.Limit = 7 }, taken: []string{"functions[jobs].queue.limit"}},
		"accounts":              {change: func(c *Config) { c.Accounts = []Account{{Instances: 7}} }, restart: []string{"accounts"}},
		"routes":                {change: func(c *Config) { c.Functions[0].Routes = []Route{{}} }, taken: []string{"functions[web].routes"}},
		"one more":              {change: func(c *Config) { c.Functions = append(c.Functions, Function{Name: "new"}) }, taken: []string{"functions[new]"}},
		"one less":              {change: func(c *Config) { c.Functions = c.Functions[1:] }, taken: []string{"functions[web]"}},
		"another name":          {change: func(c *Config) { c.Functions[0].Name = "www" }, taken: []string{"functions[www]", "functions[web]"}},
		"prices":                {change: func(c *Config) { c.Pricing.GBSecondARM = 1 }, taken: []string{"pricing.gb_second_arm64"}},
		"what needs a restart":  {change: func(c *Config) { c.Admin.Address = "127.0.0.1:1" }, restart: []string{"admin.address"}},
		"both, and of one kind": {change: func(c *Config) { c.Log = Log{Level: "debug", Format: "json"} }, taken: []string{"log.level"}, restart: []string{"log.format"}},
	} {
		t.Run(name, func(t *testing.T) {
			now, next := running(), running()
			one.change(&next)
			wanted := next
			wanted.Functions = append([]Function(nil), next.Functions...)
			effective, changes, err := now.Over(next)
			require.NoError(t, err)
			require.Equal(t, Changes{one.taken, one.restart}, changes)
			require.Equal(t, len(one.taken)+len(one.restart) == 0, changes.None())
			require.Equal(t, wanted, next, "what was asked for is left as it is")
			if len(one.restart) == 0 && !changes.None() {
				require.Equal(t, next, effective)
			}
			if changes.None() && name != "the order" {
				require.Equal(t, now, effective)
			}
			require.Equal(t, now.Admin, effective.Admin)
			require.Equal(t, next.Log.Level, effective.Log.Level)
			require.Equal(t, "text", effective.Log.Format)
		})
	}
}

// A file may be valid and yet not fit what runs: its functions rely on keys that need a restart.
func TestARestartThatTheRestNeeds(t *testing.T) {
	now, next := running(), running()
	next.Relay.Apart, next.Relay.TunnelWait = true, 2*time.Second
	next.Functions[0].Provider = ProviderStatic
	effective, changes, err := now.Over(next)
	require.NoError(t, err, "web stays what it is")
	require.Equal(t, []string{"relay.tunnel_wait", "relay.apart", "functions[web].provider"}, changes.Restart)
	require.Equal(t, now, effective)

	peer := DefaultFunction()
	peer.Name, peer.Provider, peer.Routes = "peers", ProviderStatic, []Route{{Host: "peers.example.com"}}
	next.Relay.TLS, next.Functions = RelayTLSOff, append(next.Functions, peer)
	effective, _, err = now.Over(next)
	require.ErrorContains(t, err, "needs a restart")
	require.ErrorContains(t, err, "relay.tls")
	require.ErrorContains(t, err, "functions[2].provider: static needs relay.tls files or off")
	require.Equal(t, now, effective)
}
