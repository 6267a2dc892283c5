package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// serviceLinks is what Kubernetes (1.34, "Discovering services") sets in each container for a Service with two ports.
func serviceLinks(prefix string) []string {
	return []string{
		prefix + "_SERVICE_HOST=10.96.0.12", prefix + "_SERVICE_PORT=7443", prefix + "_SERVICE_PORT_RELAY=7443",
		prefix + "_PORT=tcp://10.96.0.12:7443", prefix + "_PORT_7443_TCP=tcp://10.96.0.12:7443",
		prefix + "_PORT_7443_TCP_PROTO=tcp", prefix + "_PORT_7443_TCP_PORT=7443", prefix + "_PORT_7443_TCP_ADDR=10.96.0.12",
		prefix + "_PORT_53_UDP=udp://[fd00::12]:53", prefix + "_PORT_53_UDP_PROTO=udp", prefix + "_PORT_53_UDP_ADDR=fd00::12",
	}
}

func TestVariablesOfKubernetesAndOfLambdapeerStopNothing(t *testing.T) {
	for _, service := range []string{
		"LAMBDA_DISPATCH", "LAMBDA_DISPATCH_CONTROL", "LAMBDA_DISPATCH_PEER", "LAMBDA_DISPATCH_RELAY", "LAMBDA_DISPATCH_CONTROL_ADMIN",
	} {
		environ := append(serviceLinks(service), "LAMBDA_DISPATCH_PEER_RELAY=http://127.0.0.1:1", "LAMBDA_DISPATCH_PEER_NONSENSE=")
		cfg, err := Load("", environ, nil)
		require.NoError(t, err)
		require.Equal(t, Default(), cfg)
		require.Empty(t, EnvironmentWarnings(environ))
	}
}

// A key whose variable looked like one of a Service could not be set.
func TestNoKeyLooksLikeAService(t *testing.T) {
	cfg := Default()
	for _, l := range leavesOf(&cfg) {
		require.False(t, serviceLink(l.variable(), "x"), l.variable())
	}
}

func TestOldNamesAreReadForARelease(t *testing.T) {
	environ := []string{"LAMBDA_DISPATCH_LOG_LEVEL=warn", "LAMBDA_DISPATCH_RELAY_MAX_CONNECTIONS=7"}
	cfg, err := Load("", environ, nil)
	require.NoError(t, err)
	require.Equal(t, "warn", cfg.Log.Level)
	require.Equal(t, 7, cfg.Relay.MaxConnections)
	require.Equal(t, []string{
		"LAMBDA_DISPATCH_LOG_LEVEL is an old name, which the next release will not read: use LAMBDA_DISPATCH_CONTROL_LOG_LEVEL",
		"LAMBDA_DISPATCH_RELAY_MAX_CONNECTIONS is an old name, which the next release will not read: use " +
			"LAMBDA_DISPATCH_CONTROL_RELAY_MAX_CONNECTIONS",
	}, EnvironmentWarnings(environ))

	_, err = Load("", []string{"LAMBDA_DISPATCH_RELAY_MAX_CONNECTIONS=many"}, nil)
	require.EqualError(t, err, `LAMBDA_DISPATCH_RELAY_MAX_CONNECTIONS: must be an integer, got "many"`)
}

func TestTheNewNameWins(t *testing.T) {
	for _, environ := range [][]string{
		{"LAMBDA_DISPATCH_LOG_LEVEL=nonsense", "LAMBDA_DISPATCH_CONTROL_LOG_LEVEL=warn"},
		{"LAMBDA_DISPATCH_CONTROL_LOG_LEVEL=warn", "LAMBDA_DISPATCH_LOG_LEVEL=nonsense"},
	} {
		cfg, err := Load("", environ, nil)
		require.NoError(t, err)
		require.Equal(t, "warn", cfg.Log.Level)
		require.Equal(t, []string{
			"LAMBDA_DISPATCH_LOG_LEVEL is not read: the control plane's variables begin with LAMBDA_DISPATCH_CONTROL_, did you mean " +
				"LAMBDA_DISPATCH_CONTROL_LOG_LEVEL?",
		}, EnvironmentWarnings(environ))
	}
}

func TestAMisspeltOldNameIsNamed(t *testing.T) {
	require.Equal(t, []string{
		"LAMBDA_DISPATCH_ADMIN_ADRESS is not read: the control plane's variables begin with LAMBDA_DISPATCH_CONTROL_, did you mean " +
			"LAMBDA_DISPATCH_CONTROL_ADMIN_ADDRESS?",
	}, EnvironmentWarnings([]string{"HOME=/", "LAMBDA_DISPATCH_ADMIN_ADRESS=x"}))
}

func TestAMisspeltPrefixIsNamed(t *testing.T) {
	for name, meant := range map[string]string{
		"LAMBDA_DISPACH_CONTROL_ADMIN_ADDRESS": "ADMIN_ADDRESS",
		"LAMBDADISPATCH_CONTROL_LOG_LEVEL":     "LOG_LEVEL",
		"lambda_dispatch_control_log_level":    "LOG_LEVEL",
		"LAMBDA-DISPATCH-CONTROL-ADMIN-ADRESS": "ADMIN_ADDRESS",
		"LAMBA_DISPATCH_CONTROL_STATE_DIR":     "STATE_DIR",
	} {
		require.Equal(t, []string{name + " is not read: did you mean LAMBDA_DISPATCH_CONTROL_" + meant + "?"}, EnvironmentWarnings([]string{name + "=x"}))
	}
	require.Empty(t, EnvironmentWarnings([]string{
		"LAMBDA_DISPACH_PEER_PORT=1", "LAMBDA_TASK_ROOT=/", "LOG_LEVEL=debug", "ADMIN_ADDRESS=x", "DISPATCH_CONTROL_LOG_LEVEL=x", "",
	}))
}
