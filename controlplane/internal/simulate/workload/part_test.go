package workload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

func TestAPartBeginsWithItsFirstRequest(t *testing.T) {
	w := workload.Workload{Requests: []workload.Request{{At: second, Service: second}, {At: 3 * second, Service: second}, {At: 4 * second, Service: 5 * second}, {At: 9 * second, Service: second}}}
	p := w.Part(2*second, 7*second)
	require.Equal(t, []workload.Request{{At: 0, Service: second}, {At: second, Service: 5 * second}}, p.Requests)
	require.Equal(t, 6*second, p.Horizon)
	require.Equal(t, time.Second, w.Requests[0].At, "the whole is as it was")
	require.Empty(t, w.Part(20*second, second).Requests)
}

func TestFasterKeepsWhatIsInFlight(t *testing.T) {
	w, err := workload.Named("azllm_code-twin")
	require.NoError(t, err)
	w = w.Part(0, 100*second)
	fast := w.Faster(4)
	require.InDelta(t, w.Work().Seconds()/4, fast.Work().Seconds(), 1e-3)
	require.InDelta(t, w.Bound(10).Seconds()/4, fast.Bound(10).Seconds(), 1e-3)
}
