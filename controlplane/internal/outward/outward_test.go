package outward_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/outward"
)

// dualStack is what ECS answers in a task of a subnet with both, cut to what matters.
const dualStack = `{"DockerId":"cd1","Name":"controlplane","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.2.106"],
	"IPv6Addresses":["fe80::1","fd00::7","2001:db8:1::106"],"MACAddress":"0e:9e:32:c7:48:85","PrivateDNSName":"ip-10-0-2-106.internal"}]}`

func serve(t *testing.T, status int, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func finder(metadata, echo string) outward.Finder {
	return outward.Finder{Echo: echo, Getenv: func(name string) string {
		if name != "ECS_CONTAINER_METADATA_URI_V4" {
			return ""
		}
		return metadata
	}}
}

func TestATaskOfECSKnowsItsAddresses(t *testing.T) {
	f := finder(serve(t, http.StatusOK, dualStack), serve(t, http.StatusOK, "203.0.113.9\n"))
	for want, ask := range map[string]func(context.Context) (netip.Addr, error){
		"10.0.2.106": f.Private, "2001:db8:1::106": f.IPv6, "203.0.113.9": f.Public,
	} {
		got, err := ask(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got.String())
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	bridge := finder(serve(t, http.StatusOK, `{"Networks":[{"NetworkMode":"bridge","IPv4Addresses":[]}]}`), serve(t, http.StatusOK, "<html>"))
	broken := finder(serve(t, http.StatusInternalServerError, ""), serve(t, http.StatusForbidden, ""))
	none := finder("", "")
	for want, ask := range map[string]func(context.Context) (netip.Addr, error){
		"awsvpc":                         bridge.Private,
		"no such address":                bridge.IPv6,
		"not answered with an IPv4":      bridge.Public,
		"500 Internal Server Error":      broken.Private,
		"403 Forbidden":                  broken.Public,
		"ECS_CONTAINER_METADATA_URI_V4 ": none.IPv6,
	} {
		_, err := ask(t.Context())
		require.ErrorContains(t, err, want)
	}
}

func TestOutsideOfECSTheRouteSaysIt(t *testing.T) {
	address, err := finder("", "").Private(t.Context())
	if err != nil {
		t.Skip("this machine has no route:", err)
	}
	require.True(t, address.Is4())
	require.False(t, address.IsUnspecified())
}
