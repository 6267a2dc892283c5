package main

import (
	"path/filepath"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

// Aims of guarded mode. The report names an aim that is missed, and the bench does not fail.
const (
	aimCPURatio    = 2.1
	aimAddedP50    = 500 * time.Microsecond
	aimFirstAnswer = 5 * time.Millisecond
	aimIdleTLS     = 120_000 // bytes resident in the control plane's process, per instance
	aimIdlePlain   = 60_000
	aimIdleCPU     = 0.05 // of a core, with 1,000 instances
)

// A report is everything that one run saw. Durations are nanoseconds.
type report struct {
	lab.Origin
	Settings   settings            `json:"settings"`
	Throughput map[string]row      `json:"throughput"` // by system
	Single     map[string]row      `json:"single"`     // at concurrency 1
	First      map[string]quantile `json:"first_answer"`
	Idle       []idle              `json:"idle"`
}

// A row sums up all rounds of one system.
type row struct {
	Requests int64                    `json:"requests"`
	Rate     float64                  `json:"requests_per_second"`
	P50      time.Duration            `json:"p50_ns"` // median over the rounds, as the next
	P99      time.Duration            `json:"p99_ns"`
	CPU      map[string]time.Duration `json:"cpu_per_request_ns"` // by role
	TotalCPU time.Duration            `json:"total_cpu_per_request_ns"`
	Rounds   []sample                 `json:"rounds"`
}

func newRow(samples []sample) row {
	r := row{CPU: map[string]time.Duration{}, Rounds: samples}
	var elapsed time.Duration
	var p50, p99 []time.Duration
	for _, s := range samples {
		r.Requests += s.Requests
		elapsed += s.Elapsed
		p50, p99 = append(p50, s.Latency.P50), append(p99, s.Latency.P99)
		for role, d := range s.CPU {
			r.CPU[role] += d
		}
	}
	for role := range r.CPU {
		r.CPU[role] /= time.Duration(max(r.Requests, 1))
	}
	r.Rate = float64(r.Requests) / elapsed.Seconds()
	r.P50, r.P99, r.TotalCPU = median(p50), median(p99), sum(r.CPU)
	return r
}

// ratios compares the total CPU per request of two systems round by round. The spread of these ratios is the noise.
func ratios(of, to row) (all []float64) {
	for n := range min(len(of.Rounds), len(to.Rounds)) {
		a, b := of.Rounds[n], to.Rounds[n]
		all = append(all, perRequest(a)/perRequest(b))
	}
	return all
}

func perRequest(s sample) float64 { return float64(sum(s.CPU)) / float64(s.Requests) }

// A quantile sums up single measurements.
type quantile struct {
	Trials int           `json:"trials"`
	Min    time.Duration `json:"min_ns"`
	P50    time.Duration `json:"p50_ns"`
	Max    time.Duration `json:"max_ns"`
}

func newReport(s settings) (*report, error) {
	origin, err := lab.Here()
	if err != nil {
		return nil, err
	}
	return &report{
		Origin: *origin, Settings: s,
		Throughput: map[string]row{}, Single: map[string]row{}, First: map[string]quantile{},
	}, nil
}

// write puts the run into a file of its own, and the table of it into README.md, both in dir.
func (r *report) write(dir string) (path string, err error) {
	name := r.Name("")
	return filepath.Join(dir, name), lab.Save(dir, name, r, "README.md", r.markdown(name))
}
