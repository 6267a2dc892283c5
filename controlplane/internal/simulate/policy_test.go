package simulate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// What the policy promises, on workloads of its own for each promise. Bounds leave room for the noise between seeds.

const millisecond = time.Millisecond

// seeds calls f with a few.
func seeds(t *testing.T, name string, f func(t *testing.T, seed uint64)) {
	t.Helper()
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("%s, seed %d", name, seed+1), func(t *testing.T) { f(t, seed+1) })
	}
}

// A crowd that meets environments starts what it needs, which is ten instances, and a few more, however quickly it comes.
func TestACrowdIsNoRate(t *testing.T) {
	for _, within := range []time.Duration{0, 5 * millisecond, 30 * millisecond, 100 * millisecond} {
		seeds(t, within.String(), func(t *testing.T, seed uint64) {
			const crowds = 30
			load := workload.Every("crowd", crowds*30*second, 30*second, 100, within, workload.Fixed(50*millisecond)).Make(seed)
			r := run(t, load, simulate.Defaults(10, seed))
			require.LessOrEqual(t, float64(r.WarmStarts)/(crowds-1), 13.0, "starts of each crowd, those of the reserve included")
			require.LessOrEqual(t, r.ColdStarts, 12)
			require.LessOrEqual(t, r.Settled.Quantile(0.99), 60*millisecond)
		})
	}
}

// What has gathered while the first start took its time is no demand: 200 requests a second of 50 ms fill one instance.
func TestABacklogIsNoDemand(t *testing.T) {
	for _, init := range []time.Duration{2 * second, 5 * second, 15 * second} {
		seeds(t, init.String(), func(t *testing.T, seed uint64) {
			s := simulate.Defaults(10, seed)
			s.Lambda.Preset.Init = lambda.Spread{Median: init, Sigma: 0.2}
			r := run(t, workload.Steady("steady", 2*minute, 200, workload.Fixed(50*millisecond)).Make(seed), s)
			require.LessOrEqual(t, r.ColdStarts, 10)
		})
	}
}
