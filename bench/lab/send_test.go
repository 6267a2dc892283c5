package lab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// A trace that does not fit the app is told before minutes are spent on it.
func TestARequestThatTakesTooLongForTheAppIsNamed(t *testing.T) {
	w := simulation.Workload{Requests: []simulation.Request{{Service: time.Second}, {Service: 61 * time.Second}}}
	_, err := Send(t.Context(), w, func(_, _ string) string { return "http://127.0.0.1:1/" }, "web")
	require.EqualError(t, err, "web: a request takes 1m1s, and the app sleeps for 1m0s at most")
}
