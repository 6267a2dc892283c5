package envoy_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

var update = flag.Bool("update", false, "write bootstrap-split.yaml")

// The file in this folder is what people read, and what they get.
func TestTheSplitBootstrapIsTheOneInThisFolder(t *testing.T) {
	text, err := envoy.Split{
		ControlPlanes: []string{"a.example.com:7444", "b.example.com:7444"}, SDS: envoy.DefaultStateDir + "/pair",
	}.Bootstrap()
	require.NoError(t, err)
	const name = "bootstrap-split.yaml"
	if *update {
		require.NoError(t, os.WriteFile(name, text, 0o644))
	}
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(file), string(text), "go test ./envoy -run TheSplit -update")
}

func TestEnvoyAcceptsASplitBootstrap(t *testing.T) {
	binary := envoytest.Binary(t)
	for _, s := range []envoy.Split{
		{ControlPlanes: []string{"127.0.0.1:7444"}},
		{ControlPlanes: []string{"a.example.com:7444", "[::1]:7444"}, SDS: t.TempDir(), Node: `a "b"`, StateDir: "/tmp/s", AdminAddress: "[::1]:0"},
	} {
		for name, text := range envoy.SecretFiles(s.SDS, "spiffe://lambda-dispatch/control/") {
			require.NoError(t, yaml.Unmarshal(text, new(map[string]any)), name)
			if s.SDS != "" {
				require.NoError(t, os.WriteFile(filepath.Join(s.SDS, name), text, 0o600))
			}
		}
		text, err := s.Bootstrap()
		require.NoError(t, err)
		require.NoError(t, envoy.Validate(t.Context(), binary, text))
	}
	for _, s := range []envoy.Split{{AdminAddress: "nowhere"}, {ControlPlanes: []string{"a:b"}}} {
		_, err := s.Bootstrap()
		require.Error(t, err)
	}
}
