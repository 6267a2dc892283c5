package controlplane

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

func TestWhatPeersDialIsWrittenDownOrFound(t *testing.T) {
	ecs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Networks":[{"IPv4Addresses":["10.0.2.106"],"IPv6Addresses":["2001:db8::6"]}]}`))
	}))
	defer ecs.Close()
	t.Setenv("ECS_CONTAINER_METADATA_URI_V4", ecs.URL)
	for given, want := range map[string]string{
		"": "", "relay.example.com:7443": "relay.example.com:7443", "auto": "10.0.2.106:7443", "ipv6": "[2001:db8::6]:7443",
	} {
		got, err := advertise(t.Context(), config.Relay{Address: "0.0.0.0:7443", Advertise: given})
		require.NoError(t, err)
		require.Equal(t, want, got, given)
	}
	ecs.Close()
	_, err := advertise(t.Context(), config.Relay{Address: "0.0.0.0:7443", Advertise: "auto"})
	require.ErrorContains(t, err, "relay.advertise: auto: metadata of the ECS task")
}
