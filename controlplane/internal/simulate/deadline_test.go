package simulate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

const minute = time.Minute

// beside is short requests with some long ones, for as long as four lives of an instance.
func beside(long workload.Service) workload.Generator {
	return workload.Beside("long",
		workload.Steady("short", 60*minute, 20, workload.Fixed(100*time.Millisecond)),
		workload.Steady("long", 60*minute, 0.2, long),
	)
}

func uniform(least, most time.Duration) workload.Service {
	return func(r *rand.Rand) time.Duration { return least + time.Duration(r.Int64N(int64(most-least))) }
}

// Scenario 42: what is in flight when an instance is rotated goes on, and an instance is rotated early enough for what it has: nothing
// up to two minutes is lost, whatever was seen before, and as good as nothing up to ten.
func TestLongRequestsAreNotLostAtRotation(t *testing.T) {
	long(t)
	for _, tt := range []struct {
		name string
		long workload.Service
	}{
		{"1 min", workload.Fixed(minute)},
		{"2 min", workload.Fixed(2 * minute)},
		{"up to 2 min", uniform(second, 2*minute)},
		{"5 min", workload.Fixed(5 * minute)},
		{"10 min", workload.Fixed(10 * minute)},
		{"up to 10 min", uniform(minute, 10*minute)},
		{"heavy tail", workload.Pareto(10*second, 10*minute, 1.1)},
	} {
		for _, concurrency := range []int{1, 10, 80} {
			t.Run(fmt.Sprint(tt.name, ", ", concurrency), func(t *testing.T) {
				for seed := range uint64(2) {
					load := beside(tt.long).Make(seed + 1)
					s := simulate.Defaults(concurrency, seed+1)
					s.Sized(load)
					r := run(t, load, s)
					t.Logf("lost %d, billed %.3f of the bound, %d starts", r.Failed, r.Ratio(), r.Invoked)
					require.Zero(t, r.Failed)
				}
			})
		}
	}
}
