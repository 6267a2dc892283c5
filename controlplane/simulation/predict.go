package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
)

// Steps say how long the steps of a start and of an end take where a workload is replayed.
type Steps = lambda.Preset

// A Spread is how long a step takes: a lognormal distribution.
type Spread = lambda.Spread

// A Prediction is what the simulator expects of a function with default settings.
type Prediction struct {
	GBSeconds    float64       `json:"gb_seconds"`
	Dollars      float64       `json:"dollars"`
	Starts       float64       `json:"starts"`
	Environments float64       `json:"environments"`
	Waited       float64       `json:"waited"` // share of the requests that found no slot
	P50          time.Duration `json:"wait_p50_ns"`
	P95          time.Duration `json:"wait_p95_ns"`
	P99          time.Duration `json:"wait_p99_ns"`
}

// Predict simulates the workload with each of the seeds 1 to seeds, and returns the mean of each number. What the policy does
// later, with environments for a peak that may come again, is not in it. Waits are as a client sees them who knows the usual
// time of a request's way, but not that of each: jitter is by how much ways differ from that, nil if they do not.
func Predict(w Workload, steps Steps, memoryMB, seeds int, jitter []time.Duration) (Prediction, error) {
	var sum Prediction
	n := float64(seeds)
	for seed := range seeds {
		s := settings(steps, memoryMB, uint64(seed+1))
		s.Until = w.Horizon + ending
		r, err := simulate.Run(w, s)
		if err != nil {
			return Prediction{}, err
		}
		if lost := r.Rejected + r.Evicted + r.Failed; lost > 0 {
			return Prediction{}, fmt.Errorf("seed %d: %d requests lost", seed+1, lost)
		}
		first, _ := slices.BinarySearch(r.All.Sorted, 1)
		sum.GBSeconds += r.GBSeconds / n
		sum.Dollars += r.Dollars / n
		sum.Starts += float64(r.Invoked) / n
		sum.Environments += float64(r.ColdStarts) / n
		sum.Waited += (1 - float64(first)/float64(len(r.All.Sorted))) / n
		waits := seen(r.All.Sorted, jitter, s.Lambda.Seed)
		sum.P50 += simulate.Quantile(waits, 0.5) / time.Duration(seeds)
		sum.P95 += simulate.Quantile(waits, 0.95) / time.Duration(seeds)
		sum.P99 += simulate.Quantile(waits, 0.99) / time.Duration(seeds)
	}
	return sum, nil
}

// seen is what clients see of waits, sorted.
func seen(waits, jitter []time.Duration, seed uint64) []time.Duration {
	if len(jitter) == 0 {
		return waits
	}
	r := rand.New(rand.NewPCG(seed, 13))
	out := make([]time.Duration, len(waits))
	for k, wait := range waits {
		out[k] = max(0, wait+jitter[r.IntN(len(jitter))])
	}
	slices.Sort(out)
	return out
}

// ending is long enough for the last instances to end after the last request.
const ending = time.Second

// settings are those of the server's defaults for a function.
func settings(steps Steps, memoryMB int, seed uint64) simulate.Settings {
	scaling := config.DefaultFunction().Scaling
	s := simulate.Defaults(scaling.Slots(), seed)
	s.Pool.Scaling.Max = scaling.Max
	s.Pool.Scaling.StartsInProgress, s.Pool.Scaling.StartsBurst = scaling.StartsInProgress, scaling.StartsBurst
	s.Pool.Scaling.StartsPerSecond = scaling.StartsPerSecond
	s.Lambda.Preset, s.Lambda.MemoryMB = steps, memoryMB
	return s
}
