package dispatch

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// waitBuckets are the upper bounds, in seconds, of the queue wait histogram. Requests that found a free slot waited 0.
var waitBuckets = [...]float64{0, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// outcomes counts how admissions ended. Guarded by the function's mu, like what they count.
type outcomes struct {
	served   uint64
	refusals map[refusal]uint64
	waits    [len(waitBuckets) + 1]uint64 // by bucket of waitBuckets; the last one is above all bounds
	waitSum  float64                      // seconds
}

type refusal struct {
	outcome admission.Outcome
	cause   admission.Cause
}

func (o *outcomes) dispatched(waited time.Duration) {
	o.served++
	seconds := waited.Seconds()
	o.waitSum += seconds
	n, _ := slices.BinarySearch(waitBuckets[:], seconds)
	o.waits[n]++
}

func (o *outcomes) refused(outcome admission.Outcome, cause admission.Cause) {
	if o.refusals == nil {
		o.refusals = map[refusal]uint64{}
	}
	o.refusals[refusal{outcome, cause}]++
}
