package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Result is what a run saw. Durations are nanoseconds in JSON.
type Result struct {
	Requests  int64            `json:"requests"` // complete answers, whatever their status
	Failed    int64            `json:"failed"`   // requests without a complete answer
	Elapsed   time.Duration    `json:"elapsed_ns"`
	Rate      float64          `json:"requests_per_second"` // complete answers
	BodyBytes int64            `json:"body_bytes"`          // of answers, without framing
	Latency   Latency          `json:"latency"`
	Statuses  map[int]int64    `json:"statuses"`           // complete answers by status
	Failures  map[string]int64 `json:"failures,omitempty"` // Failed by cause
}

// Latency is the time from the write of a request to the last byte of its answer, of complete answers only. Three digits are exact.
type Latency struct {
	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

// Errors returns the number of failed requests and of answers with status 400 and above.
func (r Result) Errors() int64 {
	errors := r.Failed
	for status, n := range r.Statuses {
		if status >= 400 {
			errors += n
		}
	}
	return errors
}

// totals adds up what all workers have seen.
type totals struct {
	mu       sync.Mutex // guards the fields below
	latency  *hdrhistogram.Histogram
	statuses map[int]int64
	failures map[string]int64
	bytes    int64
}

const highestLatency = 10 * time.Minute // longer ones are counted as this

func newTotals() *totals {
	return &totals{
		latency:  hdrhistogram.New(1, int64(highestLatency), 3),
		statuses: make(map[int]int64),
		failures: make(map[string]int64),
	}
}

func (t *totals) result(elapsed time.Duration) Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := func(q float64) time.Duration { return time.Duration(t.latency.ValueAtQuantile(q)) }
	r := Result{
		Requests:  t.latency.TotalCount(),
		Elapsed:   elapsed,
		BodyBytes: t.bytes,
		Statuses:  t.statuses,
		Failures:  t.failures,
		Latency: Latency{
			Mean: time.Duration(t.latency.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
			Max: time.Duration(t.latency.Max()),
		},
	}
	for _, n := range t.failures {
		r.Failed += n
	}
	r.Rate = float64(r.Requests) / elapsed.Seconds()
	return r
}

// A tally holds what one worker has seen since it last added to the totals. Batches avoid both a histogram for each worker, which
// would take more memory than the servers under test, and a lock for each answer.
type tally struct {
	totals    *totals
	latencies []time.Duration
	statuses  map[int]int64
	failures  map[string]int64
	bytes     int64
}

const tallyBatch = 256

func newTally(t *totals) *tally {
	return &tally{
		totals:    t,
		latencies: make([]time.Duration, 0, tallyBatch),
		statuses:  make(map[int]int64),
		failures:  make(map[string]int64),
	}
}

func (t *tally) answered(status int, latency time.Duration) {
	t.statuses[status]++
	t.latencies = append(t.latencies, latency)
	if len(t.latencies) == tallyBatch {
		t.flush()
	}
}

func (t *tally) failed(cause string) { t.failures[cause]++ }

func (t *tally) flush() {
	t.totals.mu.Lock()
	defer t.totals.mu.Unlock()
	for _, l := range t.latencies {
		// In range by the clamp, so it cannot fail.
		_ = t.totals.latency.RecordValue(int64(min(max(l, 1), highestLatency)))
	}
	for status, n := range t.statuses {
		t.totals.statuses[status] += n
	}
	for cause, n := range t.failures {
		t.totals.failures[cause] += n
	}
	t.totals.bytes += t.bytes
	t.latencies, t.bytes = t.latencies[:0], 0
	clear(t.statuses)
	clear(t.failures)
}
