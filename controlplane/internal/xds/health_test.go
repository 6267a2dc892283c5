package xds_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

func TestTheHealthPathFailsOnceTheControlPlaneRetires(t *testing.T) {
	f := startFront(t, testFunction("web", config.Route{Host: "web.test"}), testFunction("any", config.Route{Path: "/"}))
	ask := func(host string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.address+"/healthz?x", http.NoBody)
		require.NoError(t, err)
		r.Host = host
		response, err := f.client.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	for _, host := range []string{"", "web.test", "10.0.0.7:8080"} {
		status, body := ask(host)
		require.Equal(t, http.StatusOK, status, body)
		require.Equal(t, "ok\n", body)
	}
	require.NoError(t, f.Retire())
	require.Eventually(t, func() bool {
		status, body := ask("web.test")
		return status == http.StatusServiceUnavailable && body != ""
	}, patience, 5*time.Millisecond)
	status, body := ask("")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, `"cause":"closed"`)
}
