package simulate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

func steady(seed uint64) workload.Workload {
	return workload.Steady("steady", 120*second, 50, workload.Exponential(400*time.Millisecond)).Make(seed)
}

// ends counts how each request ended: once.
func ends(t *testing.T, r simulate.Result) {
	t.Helper()
	require.Equal(t, r.Requests, len(r.Latency)+r.Lost()+r.Cut+r.Left, "every request ended once")
}

// While Envoy is away nobody is served; clients that try again are served afterwards, the others are cut off, which is no
// fault of the policy.
func TestAnOutageOfEnvoy(t *testing.T) {
	for _, peers := range []simulate.Peers{{}, {Way: time.Millisecond}} {
		s := simulate.Defaults(10, 1)
		s.Peers = peers
		s.Outage = simulate.Outage{Of: simulate.Envoy, At: 60 * second, For: 10 * second}
		r, err := simulate.Run(steady(1), s)
		require.NoError(t, err)
		ends(t, r)
		require.InDelta(t, 10*50+20, r.Cut, 100)
		require.Zero(t, r.Lost())

		s.Clients.Retries = 20
		r, err = simulate.Run(steady(1), s)
		require.NoError(t, err)
		ends(t, r)
		require.Zero(t, r.Cut)
		require.Greater(t, simulate.Quantile(r.Latency, 0.99), 5*second)
	}
}

// An outage that is over at once cuts connections, and no more.
func TestAnOutageOfNoLength(t *testing.T) {
	s := simulate.Defaults(10, 1)
	s.Outage = simulate.Outage{Of: simulate.Envoy, At: 60 * second}
	r, err := simulate.Run(steady(1), s)
	require.NoError(t, err)
	ends(t, r)
	require.InDelta(t, 20, r.Cut, 15, "what was in flight")
}

// While the control plane is away what is in flight goes on, what comes waits at Envoy, and nobody is lost.
func TestAnOutageOfTheControlPlane(t *testing.T) {
	s := simulate.Defaults(10, 1)
	s.Outage = simulate.Outage{Of: simulate.ControlPlane, At: 60 * second, For: 5 * second}
	r, err := simulate.Run(steady(1), s)
	require.NoError(t, err)
	ends(t, r)
	require.Equal(t, r.Requests, len(r.Latency))
	require.InDelta(t, 5*second, r.All.Quantile(1), float64(second))
	require.Less(t, simulate.Quantile(r.Latency, 0.9), 2*second)
}

func TestEnvironmentsThatAreLost(t *testing.T) {
	s := simulate.Defaults(10, 1)
	before, err := simulate.Run(steady(1), s)
	require.NoError(t, err)
	s.Outage = simulate.Outage{Of: simulate.Environments, At: 60 * second}
	r, err := simulate.Run(steady(1), s)
	require.NoError(t, err)
	ends(t, r)
	require.InDelta(t, 20, r.Failed, 15, "what was in flight")
	require.Greater(t, r.ColdStarts, before.ColdStarts+1)
	require.NotZero(t, r.Bound)
}

// Clients that leave take their requests along: from the queue, and from apps that stop for them.
func TestClientsThatLeave(t *testing.T) {
	for _, works := range []bool{false, true} {
		s := simulate.Defaults(10, 1)
		s.Clients = simulate.Clients{Leave: 0.5, Patience: 300 * time.Millisecond}
		if works {
			s.Peers = simulate.Peers{Way: time.Millisecond}
		}
		r, err := simulate.Run(steady(1), s)
		require.NoError(t, err)
		ends(t, r)
		require.InDelta(t, 0.25, float64(r.Left)/float64(r.Requests), 0.06, "those of the half that take longer")
		require.LessOrEqual(t, r.Lost(), r.Requests/200, "refused twice, where apps work on")
	}
}

// A request on a slow environment takes so many times longer.
func TestSlowEnvironments(t *testing.T) {
	load := workload.Steady("steady", 60*second, 100, workload.Fixed(200*time.Millisecond)).Make(1)
	s := simulate.Defaults(10, 1)
	s.Lambda.Slow, s.Lambda.SlowTimes = 1, 5
	r := run(t, load, s)
	require.Equal(t, second, simulate.Quantile(r.Latency, 0.5))
	require.Equal(t, second, simulate.Quantile(simulate.Plain(load, s).Latency, 0)-simulate.Plain(load, s).All.Sorted[0])
}
