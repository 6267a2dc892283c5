package simulate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// runPeers runs a workload on instances whose slots are a way of a millisecond away.
func runPeers(t *testing.T, load workload.Workload, s simulate.Settings, deaf bool) simulate.Result {
	t.Helper()
	s.Peers.Way, s.Peers.Unwind, s.Peers.Deaf = time.Millisecond, 200*time.Microsecond, deaf
	r, err := simulate.Run(load, s)
	require.NoError(t, err)
	require.Equal(t, len(load.Requests), r.Requests, "every request came")
	ends := len(r.Latency) + r.Failed + r.Evicted + r.Rejected + r.Left + r.Overloaded
	require.Equal(t, r.Requests, ends, "every request ended once")
	return r
}

func mean(waits []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range waits {
		sum += d
	}
	return sum / time.Duration(max(1, len(waits)))
}

// Leases alone never make a slot foreign: a pool that listens to reports bills, and lets wait, as one that does not.
func TestReportsOfSoundAppsChangeNothing(t *testing.T) {
	const slots = 40
	for _, service := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
		for _, utilization := range []float64{0.8, 0.95} {
			for _, fixed := range []bool{true, false} {
				t.Run(fmt.Sprintf("%v at %v, fixed %t", service, utilization, fixed), func(t *testing.T) {
					rate := utilization * slots / (service + 2*time.Millisecond).Seconds()
					horizon := 5*second + 200*service
					load := workload.Steady("steady", horizon, rate, workload.Exponential(service)).Make(3)
					s := simulate.Defaults(10, 3)
					if fixed {
						s.Pool.Scaling.Min, s.Pool.Scaling.Max, s.Until = slots/10, slots/10, horizon+10*second
					}
					with, without := runPeers(t, load, s, false), runPeers(t, load, s, true)
					require.Equal(t, fixed, without.Bill.Billed == 0, "what is fixed does not end, and has no bill")
					require.InDelta(t, without.Bill.Billed, with.Bill.Billed, 0.01*float64(without.Bill.Billed))
					require.Equal(t, without.Invoked, with.Invoked)
					waited, before := mean(with.All.Sorted), mean(without.All.Sorted)
					require.LessOrEqual(t, waited, before+before/100+20*time.Microsecond)
					require.Less(t, with.Foreign.Seconds()/horizon.Seconds(), 0.05, "slots that count as foreign, in the mean")
					require.Zero(t, with.Overloaded)
				})
			}
		}
	}
}

// Clients that leave an app which works on: hardly any request is refused twice, and listening to the peers costs less, and lets
// less wait, than finding out by refusals alone.
func TestClientsThatLeaveTakeSlotsAlong(t *testing.T) {
	requests, overloaded := 0, 0
	for seed := range uint64(10) { // how many are refused twice varies by chance
		load := workload.Steady("steady", 120*second, 10, workload.Exponential(3*second)).Make(seed + 1)
		s := simulate.Defaults(10, seed+1)
		s.Peers.Leave, s.Peers.Patience = 0.8, 200*time.Millisecond
		with, without := runPeers(t, load, s, false), runPeers(t, load, s, true)
		requests, overloaded = requests+with.Requests, overloaded+with.Overloaded
		require.Greater(t, with.Left, with.Requests/2)
		require.Less(t, with.Bill.Billed, without.Bill.Billed*2/3)
		require.Less(t, mean(with.All.Sorted), mean(without.All.Sorted))
		require.Greater(t, with.Foreign, 120*5*second, "slots of most requests")
	}
	t.Log(overloaded, "refused twice, of", requests)
	require.LessOrEqual(t, overloaded, requests/125)
}

// A crowd leaves all at once, on every preference, and others come: they are served as soon as instances are there.
func TestACrowdThatLeaves(t *testing.T) {
	for _, preference := range []scaler.Preference{scaler.Cost, scaler.Balanced, scaler.Latency} {
		var requests []workload.Request
		for range 50 {
			requests = append(requests, workload.Request{At: 10 * second, Service: 30 * second})
		}
		for k := range 600 {
			requests = append(requests, workload.Request{At: 11*second + time.Duration(k)*50*time.Millisecond, Service: 100 * time.Millisecond})
		}
		s := simulate.Defaults(10, 1)
		s.Pool.Scaling.Preference = preference
		s.Peers.Leave, s.Peers.Patience = 1, 500*time.Millisecond
		r := runPeers(t, workload.Workload{Requests: requests, Horizon: 60 * second}, s, false)
		require.Equal(t, 50, r.Left)
		require.Zero(t, r.Overloaded)
		require.Equal(t, 600, len(r.Latency))
		require.Less(t, r.All.Quantile(0.85), 100*time.Millisecond, "%v: but for those who wait for a cold start", preference)
	}
}
