package deploy_test

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// composed is what a compose file says of its services, by their names.
func composed(t *testing.T, file string) map[string]service {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var document struct{ Services map[string]service }
	require.NoError(t, yaml.Unmarshal(text, &document))
	require.NotEmpty(t, document.Services)
	return document.Services
}

type service struct {
	Image, User string
	Volumes     []string
	DependsOn   []string `yaml:"depends_on"`
	Environment map[string]string
}

func TestTheComposeFilesFitTheRest(t *testing.T) {
	for _, file := range []string{"compose.yaml", "compose-apart.yaml"} {
		services := composed(t, file)
		require.Equal(t, "envoyproxy/envoy:v"+envoy.Version, services["envoy"].Image, file)
		for name, s := range services {
			require.Equal(t, "101:101", s.User, "%s: %s meets the others at sockets of one user", file, name)
			for _, volume := range s.Volumes {
				if path, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(path, ".") {
					require.FileExists(t, path, "%s: %s", file, name)
				}
			}
		}
	}
}

// Compose stops a service before those that it depends on. What is in flight goes through Envoy, and from there through the relay.
func TestComposeStopsEnvoyAfterTheControlPlaneAndTheRelayAfterEnvoy(t *testing.T) {
	require.Contains(t, composed(t, "compose.yaml")["controlplane"].DependsOn, "envoy")
	require.Contains(t, composed(t, "compose-apart.yaml")["envoy"].DependsOn, "relay")
}

// Each process of ours can be asked and scraped: a leader, its standby and the relay, on one host's network.
func TestEachProcessHasAnAdminAddressOfItsOwn(t *testing.T) {
	services := composed(t, "compose-apart.yaml")
	seen := map[string]string{}
	for name, variable := range map[string]string{"relay": "RELAY_ADMIN", "leader": "ADMIN_ADDRESS", "standby": "ADMIN_ADDRESS"} {
		address := services[name].Environment["LAMBDA_DISPATCH_CONTROL_"+variable]
		if name == "leader" {
			address = cmp.Or(address, "127.0.0.1:9900")
		}
		require.NotEmpty(t, address, name)
		require.Empty(t, seen[address], "%s has the address of another", name)
		seen[address] = name
	}
}
