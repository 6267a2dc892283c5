package xds_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
)

// A request whose endpoint is gone is balanced: to the healthy ones alone if there is one, else to those that may be reached again.
func TestDegradedEndpointsAreForWhomNoOtherServes(t *testing.T) {
	f := startFront(t, testFunction("gone", config.Route{Path: "/gone"}))
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	ask := func() {
		for range 20 {
			answer, body, err := f.get(t, "/gone")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, answer.StatusCode, body)
		}
	}
	const reached, retried = "cluster.gone.membership_degraded", "cluster.gone.upstream_rq_retry"
	stat := func(name string) uint64 {
		stats, err := f.process.Stats(t.Context(), name)
		require.NoError(t, err)
		return stats[name]
	}

	f.set("gone", upstream.Endpoint{Path: f.endpoint, Health: upstream.Degraded, Weight: 1})
	f.Changed("gone")
	require.Eventually(t, func() bool { return stat(reached) == 1 }, patience, 10*time.Millisecond)
	ask()

	nobody := f.endpoint + ".nobody"
	f.set("gone",
		upstream.Endpoint{Path: f.endpoint, Health: upstream.Healthy, Weight: 1}, upstream.Endpoint{Path: nobody, Health: upstream.Degraded, Weight: 1})
	f.Changed("gone")
	f.eventuallyKnown(t, "gone", f.endpoint, nobody)
	before := stat(retried)
	ask()
	require.Equal(t, before, stat(retried), "nothing goes to the other one")
}
