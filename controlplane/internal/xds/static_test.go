package xds_test

import (
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

// testConfig is a valid configuration with the functions, each named and with defaults.
func testConfig(functions ...config.Function) *config.Config {
	cfg := config.Default()
	cfg.Functions = functions
	return &cfg
}

func testFunction(name string, routes ...config.Route) config.Function {
	f := config.DefaultFunction()
	f.Name, f.Routes = name, routes
	return f
}

func TestEnvoyAcceptsWhatConfigurationsBecome(t *testing.T) {
	t.Parallel() // it mostly waits
	binary := envoytest.Binary(t)
	disabled := testFunction("off", config.Route{Path: "/off"})
	disabled.Disabled = true
	endless := testFunction("endless", config.Route{Path: "/endless", StripPrefix: true})
	endless.Timeouts = config.Timeouts{HalfClosed: time.Second}
	endless.Scaling.Concurrency = 1000

	withTLS := testConfig(testFunction("web", config.Route{Host: "*.example.com"}, config.Route{Host: "example.com", Listener: "secure"}))
	withTLS.Listeners = append(withTLS.Listeners, config.Listener{
		Name: "secure", Address: "[::1]:8443", MaxRequestHeaders: 8192, TrustedHops: 2, TLS: certificate(t),
	})

	seen := testConfig(testFunction("web", config.Route{Path: "/web"}))
	seen.AccessLog = config.AccessLog{To: config.ToStdout, Query: true}
	seen.Tracing = config.Tracing{Endpoint: "http://collector.example.com:4317", Sampling: 0.5}
	seen.Functions[0].ServerTiming = config.ServerTiming{Enabled: true, Header: &config.HeaderMatch{Name: "X-Timing", Value: "50%"}}

	tests := map[string]*config.Config{
		"seen":       seen,
		"defaults":   testConfig(),
		"tls":        withTLS,
		"every rule": testConfig(disabled, endless, testFunction("h", config.Route{Path: "/a.b(c", Header: &config.HeaderMatch{Name: "X-V", Value: "1"}})),
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, cfg.Validate())
			static, err := xds.StaticConfig(cfg)
			require.NoError(t, err)
			require.NoError(t, envoy.Validate(t.Context(), binary, static))
		})
	}
}

func TestEnvoyNamesWhatIsWrong(t *testing.T) {
	binary := envoytest.Binary(t)
	cfg := testConfig()
	cfg.Listeners[0].TLS = &config.ListenerTLS{CertificateFile: "/nowhere/cert.pem", KeyFile: "/nowhere/key.pem"}
	static, err := xds.StaticConfig(cfg)
	require.NoError(t, err)
	require.ErrorContains(t, envoy.Validate(t.Context(), binary, static), "/nowhere/key.pem")
}

func certificate(t *testing.T) *config.ListenerTLS {
	t.Helper()
	certificate, key := keypairtest.Files(t, keypairtest.Wish{Names: []string{"localhost"}})
	return &config.ListenerTLS{CertificateFile: certificate, KeyFile: key}
}

// Envoy looks for the control plane that leads several times a second. The policy for that is at a place of its own: without it Envoy
// backs off to half a minute, and where it stands for other services nobody reads it.
func TestEnvoyIsQuickToFindAnotherControlPlane(t *testing.T) {
	for name, cfg := range layouts() {
		boot := bootstrapOf(t, cfg)
		services := boot.GetDynamicResources().GetAdsConfig().GetGrpcServices()
		require.Len(t, services, 1)
		backOff := services[0].GetEnvoyGrpc().GetRetryPolicy().GetRetryBackOff()
		require.NotNil(t, backOff, name)
		require.LessOrEqual(t, backOff.GetMaxInterval().AsDuration(), time.Second, name)
		require.Nil(t, services[0].GetRetryPolicy(), name)
	}
}

// layouts are the two that have a bootstrap of their own.
func layouts() map[string]*config.Config {
	split := testConfig()
	split.Relay.Apart = true
	split.Cell.ControlPlanes = []string{"127.0.0.1:7444", "127.0.0.1:7445"}
	return map[string]*config.Config{"one host": testConfig(), "several": split}
}

func bootstrapOf(t *testing.T, cfg *config.Config) *bootstrapv3.Bootstrap {
	t.Helper()
	static, err := xds.StaticConfig(cfg)
	require.NoError(t, err)
	boot := &bootstrapv3.Bootstrap{}
	require.NoError(t, protojson.Unmarshal(static, boot))
	return boot
}
