package lambdalocal_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// A page in a browser on this machine can send requests that need no preflight, and can have its own name lead here.
func TestAWebPageReachesNothing(t *testing.T) {
	m := runWith(t, "runtime", func(c *lambdalocal.Config, _ *lambdalocal.Function) {
		c.Address, c.Hosts = "0.0.0.0:0", []string{"lambda.example"}
	})
	_, port, _ := strings.Cut(m.Addr(), "]:")
	base := "http://127.0.0.1:" + port
	send := func(method, path, host, origin string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader("{}"))
		require.NoError(t, err)
		r.Host = host
		r.Header.Set("Content-Type", "text/plain")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	for path, method := range map[string]string{
		"/2015-03-31/functions/web/invocations": "POST", "/lambdalocal/faults": "POST", "/lambdalocal/environments": "GET", "/": "GET",
	} {
		require.Equal(t, http.StatusForbidden, send(method, path, "page.example:"+port, "http://page.example:"+port), path)
		if method == "POST" {
			require.Equal(t, http.StatusForbidden, send(method, path, "", "http://page.example"), path)
		}
	}
	require.Zero(t, m.Counters("web").Started)
	require.Equal(t, http.StatusOK, send("GET", "/lambdalocal/environments", "lambda.example:"+port, ""))
}
