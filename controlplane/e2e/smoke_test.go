package e2e_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

func TestARequestReachesAFunctionOverItsTunnel(t *testing.T) {
	t.Parallel()
	f := controlplanetest.App(t, "web", controlplanetest.Library)
	f.Scaling.Min = 1 // or else it may end between two requests
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	for range 3 {
		resp, err := http.Get("http://" + s.Front + "/web/hello")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	}
	require.EqualValues(t, 1, s.Function("web").Starts)
}
