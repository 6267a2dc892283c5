package simulate_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// moved is when the alias moves: long after the first cold start, whose backlog is remembered for ten minutes.
const moved = 13 * minute

// deploying is what happens when new code with an init of that length is deployed under load.
func deploying(t *testing.T, load workload.Generator, init time.Duration, seed uint64, d simulate.Deployment) simulate.Deployed {
	t.Helper()
	s := simulate.Defaults(10, seed)
	s.Lambda.Preset.Init = lambda.Spread{Median: init, Sigma: 0.05}
	s.Pool.Rollout.Hold = 3 * second
	d.At, d.Every = moved, 10*second
	s.Deploy = &d
	r := run(t, load.Make(seed), s)
	require.Zero(t, r.Failed+r.Evicted+r.Rejected)
	return r.Deployed
}

// slow is how many requests waited 250 ms longer than any did before the deployment.
func slow(d simulate.Deployed) (n int) {
	for _, w := range d.After {
		if w > simulate.Quantile(d.Before, 1)+250*time.Millisecond {
			n++
		}
	}
	return n
}

// eachDeployment calls f with loads, inits and so many seeds.
func eachDeployment(t *testing.T, seeds uint64, f func(t *testing.T, load workload.Generator, init time.Duration, seed uint64)) {
	for _, rate := range []float64{50, 240} {
		for _, init := range []time.Duration{5 * second, 14 * second} {
			for name, service := range map[string]workload.Service{
				"100 ms": workload.Fixed(100 * time.Millisecond), "about 200 ms": workload.Exponential(200 * time.Millisecond),
			} {
				t.Run(fmt.Sprintf("%v per second, %s, init %v", rate, name, init), func(t *testing.T) {
					for seed := range seeds {
						f(t, workload.Steady("steady", moved+3*minute, rate, service), init, seed+1)
					}
				})
			}
		}
	}
}

// Where the control plane may read the alias, it starts both versions as it sees fit, and nobody notices a deployment.
func TestLongDeploymentIsNoColdStartForUsers(t *testing.T) {
	long(t)
	requests, waited := 0, 0
	eachDeployment(t, 4, func(t *testing.T, load workload.Generator, init time.Duration, seed uint64) {
		d := deploying(t, load, init, seed, simulate.Deployment{Reads: true})
		t.Logf("longest wait before %v, after %v, slow %d; need %d, %d starts; old gone after %v; billed %.2f",
			simulate.Quantile(d.Before, 1), simulate.Quantile(d.After, 1), slow(d), d.Need, d.Starts, d.OldGone, d.BilledAfter.Seconds()/d.BilledBefore.Seconds())
		requests, waited = requests+len(d.After), waited+slow(d)
		require.LessOrEqual(t, d.Starts, int(math.Ceil(1.25*float64(d.Need))))
		require.Less(t, d.OldServed, minute)
		require.Less(t, d.OldGone, minute)
		require.LessOrEqual(t, d.BilledAfter, 2*d.BilledBefore)
	})
	require.LessOrEqual(t, float64(waited)/float64(requests), 1e-5)
}

// Where it may not, it learns of the new version from the first instance that runs it. What is started meanwhile is cold.
func TestLongDeploymentThatNobodyReads(t *testing.T) {
	long(t)
	eachDeployment(t, 1, func(t *testing.T, load workload.Generator, init time.Duration, seed uint64) {
		d := deploying(t, load, init, seed, simulate.Deployment{})
		t.Logf("slow %d; need %d, %d starts; old gone after %v; billed %.2f",
			slow(d), d.Need, d.Starts, d.OldGone, d.BilledAfter.Seconds()/d.BilledBefore.Seconds())
		require.Less(t, d.OldGone, minute)
	})
}

// A version whose init fails serves nobody, and the old one goes on, also when its instances come to the end of their time.
func TestLongDeploymentThatDoesNotComeUp(t *testing.T) {
	long(t)
	eachDeployment(t, 1, func(t *testing.T, load workload.Generator, init time.Duration, seed uint64) {
		d := deploying(t, load, init, seed, simulate.Deployment{Reads: true, Broken: true})
		require.Zero(t, d.Served)
		require.Equal(t, 3, d.Starts, "tries")
		require.Zero(t, slow(d))
		require.Greater(t, d.OldServed, 2*minute)
		require.LessOrEqual(t, d.BilledAfter, 2*d.BilledBefore)
	})
}
