package config

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// load reads text as a configuration file.
func load(t *testing.T, text string, environ, overrides []string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dispatch.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return Load(file, environ, overrides)
}

func TestDefaultIsValid(t *testing.T) {
	require.NoError(t, Default().Validate())
}

func TestNoFileAndEmptyFileMeanDefault(t *testing.T) {
	fromNothing, err := Load("", nil, nil)
	require.NoError(t, err)
	require.Equal(t, Default(), fromNothing)
	for _, text := range []string{"", "---\n", "# nothing\n", "null", "{}", "relay:\nadmin:\n  address:\n"} {
		cfg, err := load(t, text, nil, nil)
		require.NoError(t, err, text)
		require.Equal(t, Default(), cfg, text)
	}
}

// TestExampleIsDefault holds the documented example equal to the code.
func TestExampleIsDefault(t *testing.T) {
	function := DefaultFunction()
	function.Name, function.Routes = "web", []Route{{}}
	want := Default()
	want.Functions = []Function{function}

	cfg, err := Load("example.yaml", nil, nil)
	require.NoError(t, err)
	require.Equal(t, want, cfg)
}

// TestExampleHasEveryKey fails when a key is added to the tree and forgotten in the example.
func TestExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("example.yaml")
	require.NoError(t, err)
	for _, key := range documentedKeys() {
		name := key.path[lastDot(key.path)+1:]
		require.Regexp(t, `(?m)^[\s#-]*`+name+`:`, string(text), key.path)
	}
}

func TestElementsStartFromDefaults(t *testing.T) {
	cfg, err := load(t, `
listeners: [{name: a, address: "0.0.0.0:80"}]
functions:
  - {name: one, routes: [{path: /one}], queue: {limit: 5}}
  - {name: two, routes: [{path: /two}], scaling: {max: 7}}
`, nil, nil)
	require.NoError(t, err)
	require.Equal(t, DefaultListener().MaxRequestHeaders, cfg.Listeners[0].MaxRequestHeaders)
	require.Equal(t, 5, cfg.Functions[0].Queue.Limit)
	require.Equal(t, DefaultFunction().Queue.Timeout, cfg.Functions[0].Queue.Timeout)
	require.Equal(t, DefaultFunction().Queue, cfg.Functions[1].Queue)
	require.Equal(t, 7, cfg.Functions[1].Scaling.Max)
}

func TestAnchorsAreFollowed(t *testing.T) {
	cfg, err := load(t, `
functions:
  - {name: one, routes: [{path: /one}], queue: &q {limit: 5}}
  - {name: two, routes: [{path: /two}], queue: *q}
`, nil, nil)
	require.NoError(t, err)
	require.Equal(t, 5, cfg.Functions[1].Queue.Limit)
}

func TestFlagsOverEnvironmentOverFile(t *testing.T) {
	file := "admin: {address: 127.0.0.1:1}\nlog: {level: warn}\nrelay: {tunnel_wait: 2s}\n"
	environ := []string{"HOME=/", "LAMBDA_DISPATCH_CONTROL_ADMIN_ADDRESS=127.0.0.1:2", "LAMBDA_DISPATCH_CONTROL_RELAY_TUNNEL_WAIT=3s"}
	cfg, err := load(t, file, environ, []string{"admin.address=127.0.0.1:3"})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:3", cfg.Admin.Address)
	require.Equal(t, "3s", cfg.Relay.TunnelWait.String())
	require.Equal(t, "warn", cfg.Log.Level)
}

func TestUnknownOverridesAreMistakes(t *testing.T) {
	_, err := Load("", []string{"LAMBDA_DISPATCH_CONTROL_ADMIN_ADRESS=x", "LAMBDA_DISPATCH_CONTROL_RELAY_MAX_CONNECTIONS=many"},
		[]string{"admin.adress=x", "admin.address", "functions=x"})
	require.EqualError(t, err, "LAMBDA_DISPATCH_CONTROL_ADMIN_ADRESS: unknown environment variable, "+
		"did you mean LAMBDA_DISPATCH_CONTROL_ADMIN_ADDRESS?\n"+
		"LAMBDA_DISPATCH_CONTROL_RELAY_MAX_CONNECTIONS: must be an integer, got \"many\"\n"+
		"admin.adress: unknown key, did you mean admin.address?\n"+
		"--set admin.address: must be key=value\n"+
		"functions: unknown key: functions can be set in the file only")
	_, err = Load("", []string{"LAMBDA_DISPATCH_CONTROL_FUNCTIONS=x", "LAMBDA_DISPATCH_CONTROL_ZZZ=x"}, []string{"listeners[0].name=x"})
	require.EqualError(t, err, "LAMBDA_DISPATCH_CONTROL_FUNCTIONS: unknown environment variable: functions can be set in the file only\n"+
		"LAMBDA_DISPATCH_CONTROL_ZZZ: unknown environment variable\n"+
		"listeners[0].name: unknown key: listeners can be set in the file only")
}

func TestOneKindOfMistakeDoesNotHideAnother(t *testing.T) {
	_, err := load(t, "functions: [{name: Web, rutes: []}]\nrelay: {tls: maybe, tunnel_wait: 5}\n",
		[]string{"LAMBDA_DISPATCH_CONTROL_LOG_LEVEL=loud", "LAMBDA_DISPATCH_CONTROL_RELAY_MAX_CONNECTIONS=many"}, nil)
	_, list, _ := strings.Cut(err.Error(), ":\n") // the file's name
	require.Equal(t, `functions[0].rutes: line 1: unknown key, did you mean routes?
relay.tunnel_wait: line 2: must be a duration such as 30s or 1m30s, got "5"
LAMBDA_DISPATCH_CONTROL_RELAY_MAX_CONNECTIONS: must be an integer, got "many"
relay.tls: must be one of auto, files, off, got "maybe"
log.level: must be one of debug, info, warn, error, got "loud"
functions[0].name: must be 1 to 40 lower-case letters, digits and inner hyphens, got "Web"
functions[0].routes: must have at least one element, or no request reaches the function`, list)
}

func TestAMistakeAtAPathIsReportedOnce(t *testing.T) {
	_, err := load(t, "functions: [{name: web, routes: /web}]\n", nil, nil)
	require.Equal(t, 1, strings.Count(err.Error(), "functions[0].routes"), err)
}

// TestVariablesAreUnambiguous fails when two keys would share one environment variable.
func TestVariablesAreUnambiguous(t *testing.T) {
	cfg, seen := Default(), map[string]string{}
	for _, l := range leavesOf(&cfg) {
		require.NotContains(t, seen, l.variable(), l.path)
		seen[l.variable()] = l.path
	}
	require.Contains(t, seen, "LAMBDA_DISPATCH_CONTROL_STATE_DIR")
}

func TestWhatIsSeenIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a relative log": {func(c *Config) { c.AccessLog.To = "log" }, `access_log.to: must be stdout or an absolute path, got "log"`},
		"no log":         {func(c *Config) { c.AccessLog.Query = true }, "access_log.query: has no effect, because access_log.to is empty"},
		"a collector by https": {
			func(c *Config) { c.Tracing.Endpoint = "https://c:4317" },
			`tracing.endpoint: must be http:// with host and port alone, such as http://127.0.0.1:4317, got "https://c:4317"`,
		},
		"a collector with a path": {
			func(c *Config) { c.Tracing.Endpoint = "http://c:4317/v1" },
			`tracing.endpoint: must be http:// with host and port alone, such as http://127.0.0.1:4317, got "http://c:4317/v1"`,
		},
		"a collector without a port": {
			func(c *Config) { c.Tracing.Endpoint = "http://c" },
			`tracing.endpoint: must have a port, such as http://127.0.0.1:4317, got "http://c"`,
		},
		"a share":         {func(c *Config) { c.Tracing.Sampling = 50 }, "tracing.sampling: must be between 0 and 1, got 50"},
		"no share":        {func(c *Config) { c.Tracing.Sampling = math.NaN() }, "tracing.sampling: must be a number"},
		"often":           {func(c *Config) { c.EMF.Interval = time.Millisecond }, "emf.interval: must be between 1s and 1h0m0s, got 1ms"},
		"AWS's namespace": {func(c *Config) { c.EMF.Namespace = "AWS/Lambda" }, `emf.namespace: must be a namespace of CloudWatch that does not begin with AWS/, got "AWS/Lambda"`},
		"timing off": {
			func(c *Config) { c.Functions[0].ServerTiming.Header = &HeaderMatch{"x-t", "1"} },
			"functions[0].server_timing.header: has no effect, because enabled is false",
		},
		"a header that no request has": {
			func(c *Config) {
				c.Functions[0].ServerTiming = ServerTiming{true, &HeaderMatch{"Lambda-Dispatch-Timing", "1"}}
			},
			"functions[0].server_timing.header.name: is removed from every request: Lambda-Dispatch-Timing",
		},
		"a header that is a format": {
			func(c *Config) { c.Functions[0].ServerTiming = ServerTiming{true, &HeaderMatch{"x%t", "1"}} },
			`functions[0].server_timing.header.name: must be letters, digits, - and _, got "x%t"`,
		},
		"the word for none": {
			func(c *Config) { c.Functions[0].ServerTiming = ServerTiming{true, &HeaderMatch{"x-t", "-"}} },
			"functions[0].server_timing.header.value: must not be -, which stands for no header",
		},
		"all is well": {func(c *Config) {
			c.AccessLog = AccessLog{ToStdout, true}
			c.Functions[0].ServerTiming = ServerTiming{true, &HeaderMatch{"X-Timing", "100 %"}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Default()
			f := DefaultFunction()
			f.Name, f.Routes = "web", []Route{{}}
			cfg.Functions = []Function{f}
			c.change(&cfg)
			if c.want == "" {
				require.NoError(t, cfg.Validate())
				return
			}
			require.EqualError(t, cfg.Validate(), c.want)
		})
	}
}
