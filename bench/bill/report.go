package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// A report is everything that one run saw. Durations are nanoseconds.
type report struct {
	*lab.Origin
	Settings settings `json:"settings"`
	MemoryMB int      `json:"memory_mb"`
	Bills    []pair   `json:"bills"`
	Lone     lone     `json:"lone"`
	Rates    []rate   `json:"rates"`
}

// A pair is one workload billed both ways, and on Managed Instances.
type pair struct {
	Workload string   `json:"workload"`
	About    string   `json:"about"`
	Requests int      `json:"requests"`
	Work     float64  `json:"work_gb_seconds"` // the requests' service times, added up
	Direct   side     `json:"direct"`
	Through  side     `json:"through"`
	Managed  managed  `json:"managed"`
	Estimate estimate `json:"estimate"` // of Through
}

// managed is what the requests cost on Managed Instances, while they came.
type managed struct {
	Invocations     int64            `json:"invocations"`
	Dollars         float64          `json:"dollars"`
	Instances       int              `json:"instances"` // at the end
	InstanceSeconds float64          `json:"instance_seconds"`
	Latency         arrivals.Latency `json:"latency"`
	Late            time.Duration    `json:"late_p99_ns"`
}

// even returns the rate, in requests a second, at which requests of that cost are as dear as the instances.
func (m managed) even(dollarsEach float64, p lambdalocal.Prices) float64 {
	perSecond := m.Dollars/m.InstanceSeconds*float64(m.Instances) - float64(m.Invocations)/m.InstanceSeconds*float64(m.Instances)*p.ManagedRequests/1e6
	return perSecond / (dollarsEach - p.ManagedRequests/1e6)
}

// A side is what the ledger says that requests cost, and what their clients saw.
type side struct {
	Invocations  int64            `json:"invocations"`
	BilledMs     int64            `json:"billed_ms"`
	InitMs       int64            `json:"init_ms"`
	GBSeconds    float64          `json:"gb_seconds"`
	Dollars      float64          `json:"dollars"`
	Environments int              `json:"environments"` // each of them a cold start
	Latency      arrivals.Latency `json:"latency"`
	Late         time.Duration    `json:"late_p99_ns"` // the load generator's own doing
}

// since subtracts what there was before.
func (s side) since(before side) side {
	s.Invocations -= before.Invocations
	s.BilledMs -= before.BilledMs
	s.InitMs -= before.InitMs
	s.GBSeconds -= before.GBSeconds
	s.Dollars -= before.Dollars
	s.Environments -= before.Environments
	return s
}

// An estimate is the control plane's own bill, and what it thinks that one request per environment would have cost.
type estimate struct {
	GBSeconds      float64 `json:"gb_seconds"`
	Dollars        float64 `json:"dollars"`
	PlainGBSeconds float64 `json:"plain_gb_seconds"`
	PlainDollars   float64 `json:"plain_dollars"`
}

// lone is requests that find no instance, and a warm environment.
type lone struct {
	Requests int  `json:"requests"`
	Direct   side `json:"direct"`
	Through  side `json:"through"`
}

// times returns how many times the milliseconds of a direct request such a request is billed.
func (l lone) times() float64 { return float64(l.Through.BilledMs) / float64(l.Direct.BilledMs) }

// A rate is what short requests cost that come that often.
type rate struct {
	PerSecond   float64 `json:"requests_per_second"`
	Requests    int     `json:"requests"`
	Invocations uint64  `json:"starts"`
	Dollars     float64 `json:"dollars"`
}

// The workloads' numbers.
const (
	service   = 50 * time.Millisecond // of sparse and lone requests, and of those around the break-even
	waiting   = 200 * time.Millisecond
	trace     = "azllm_code-twin"
	from      = 20 * time.Minute // where the part of the trace begins
	seed      = 1
	loneName  = "lone"
	loneEvery = time.Second
	// loneBefore is for how long they come before they are measured: longer than it takes until environments for the next
	// peak are started.
	loneBefore = 8 * time.Second
)

// around are rates of short requests near the break-even, beside the sparse workload's.
var around = []float64{2, 5, 10}

// rateWorkload is what is measured of a rate.
func rateWorkload(perSecond float64, length time.Duration) simulation.Workload {
	return simulation.Poisson(rateName(perSecond), length, perSecond, service, seed+1)
}

// sparseRate is the sparse workload's.
const sparseRate = 1

func rateName(perSecond float64) string { return fmt.Sprintf("rate-%g", perSecond) }

// described is a workload in words.
type described struct {
	simulation.Workload
	about string
}

func (s settings) workloads() ([]described, error) {
	bursty, err := simulation.Trace(trace, from, s.Bursty, s.Factor)
	bursty.Name = "bursty"
	return []described{
		{simulation.Poisson("sparse", s.Sparse, sparseRate, service, seed), "1 request/s of 50 ms"},
		{simulation.Poisson("steady", s.Steady, 50, waiting, seed), "50 requests/s, each waits 200 ms for I/O"},
		{bursty, fmt.Sprintf("%v of a twin of the Azure trace, %g times as fast", s.Bursty, s.Factor)},
	}, err
}

// check names all that leaves nothing to measure.
func (s settings) check() error {
	var wrong []error
	for flag, length := range map[string]time.Duration{"sparse": s.Sparse, "steady": s.Steady, "bursty": s.Bursty, "rate": s.Rate} {
		if length <= 0 {
			wrong = append(wrong, fmt.Errorf("-%s: must be positive, got %v", flag, length))
		}
	}
	if s.Lone < 1 {
		wrong = append(wrong, fmt.Errorf("-lone: must be positive, got %d", s.Lone))
	}
	if !(s.Factor > 0) {
		wrong = append(wrong, fmt.Errorf("-factor: must be positive, got %v", s.Factor))
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	workloads, err := s.workloads()
	wrong = append(wrong, err)
	for _, perSecond := range around {
		workloads = append(workloads, described{Workload: rateWorkload(perSecond, s.Rate)})
	}
	for _, w := range workloads {
		if len(w.Requests) == 0 {
			wrong = append(wrong, fmt.Errorf("%s: no request comes in so short a time", w.Name))
		}
	}
	return errors.Join(wrong...)
}

// Aims. A bill that is not the ledger's fails the bench; a miss of the other is reported.
const (
	aimOff  = 0.001
	aimLone = 2.0
)

// mostOverWork bounds what requests with an environment of their own are billed, in multiples of their service time. In Lambda each has a
// CPU. Here they share the machine's, so a higher bill means that they waited for it.
const mostOverWork = 1.2

// off is how far b is from a, as a part of a.
func off(a, b float64) float64 { return math.Abs(b-a) / a }

// verdict is an error if the control plane's bill is not the ledger's, or the machine was too busy to tell.
func (r *report) verdict() (err error) {
	for _, p := range r.Bills {
		if over := p.Direct.GBSeconds / p.Work; over > mostOverWork {
			err = errors.Join(err, fmt.Errorf("%s: direct bills %.2f times the requests' work: the machine is too busy", p.Workload, over))
		}
		for _, v := range []struct {
			what        string
			ledger, own float64
		}{{"GB-s", p.Through.GBSeconds, p.Estimate.GBSeconds}, {"dollars", p.Through.Dollars, p.Estimate.Dollars}} {
			if d := off(v.ledger, v.own); !(d <= aimOff) {
				err = errors.Join(err, fmt.Errorf("%s: the control plane counts %g %s, the ledger %g: %.2f %% off",
					p.Workload, v.own, v.what, v.ledger, 100*d))
			}
		}
	}
	return err
}

// breakEven returns the rate from which on dispatched requests are cheaper, and whether there is one. Between two measured rates it takes the
// difference in dollars a second for a straight line.
func (r *report) breakEven() (perSecond float64, found bool) {
	direct := r.Lone.Direct.Dollars / float64(r.Lone.Requests)
	more := func(v rate) float64 { return v.Dollars/float64(v.Requests)*v.PerSecond - direct*v.PerSecond }
	for n := len(r.Rates) - 1; n > 0; n-- {
		low, high := r.Rates[n-1], r.Rates[n]
		if a, b := more(low), more(high); a > 0 && b <= 0 {
			return low.PerSecond + (high.PerSecond-low.PerSecond)*a/(a-b), true
		}
	}
	return 0, false
}
