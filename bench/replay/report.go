package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// A report is everything that one run saw. Durations are nanoseconds.
type report struct {
	*lab.Origin
	Settings  settings              `json:"settings"`
	MemoryMB  int                   `json:"memory_mb"`
	Requests  int                   `json:"requests"`
	Steps     steps                 `json:"steps"`
	Reality   simulation.Prediction `json:"reality"`
	Simulated simulation.Prediction `json:"simulated"`
	Jitter    time.Duration         `json:"jitter_p95_ns"` // by which a way is longer than usual
	Late      time.Duration         `json:"late_p99_ns"`   // the load generator's own doing
}

// steps are what the simulator is told of this machine.
type steps struct {
	Path      time.Duration `json:"path_ns"`
	Init      time.Duration `json:"init_ns"`
	Dial      time.Duration `json:"dial_ns"`
	DialSigma float64       `json:"dial_sigma"`
	Finish    time.Duration `json:"finish_ns"`
}

// model is the simulator's. The delay of cold starts is lambdalocal's own.
func (s steps) model() simulation.Steps {
	const sigmasOfP99 = 2.3263
	return simulation.Steps{
		Name:   "lambdalocal",
		Place:  simulation.Spread{Median: lab.ColdP50, Sigma: math.Log(float64(lab.ColdP99)/float64(lab.ColdP50)) / sigmasOfP99},
		Init:   simulation.Spread{Median: s.Init},
		Thaw:   simulation.Spread{Median: call},
		Dial:   simulation.Spread{Median: s.Dial, Sigma: s.DialSigma},
		Finish: simulation.Spread{Median: s.Finish},
	}
}

// A comparison is one number of both.
type comparison struct {
	what               string
	reality, simulated float64
	format             string
	allowed            float64 // part of reality; 0: it is only shown
}

func (c comparison) off() float64 { return c.simulated/c.reality - 1 }

func (r *report) comparisons() []comparison {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	a, b := r.Reality, r.Simulated
	return []comparison{
		{"GB-s", a.GBSeconds, b.GBSeconds, "%.1f", 0.10},
		{"instances started", a.Starts, b.Starts, "%.0f", 0.10},
		{"wait, p95 (ms)", ms(a.P95), ms(b.P95), "%.1f", 0.15},
		{"wait, p50 (ms)", ms(a.P50), ms(b.P50), "%.1f", 0},
		{"wait, p99 (ms)", ms(a.P99), ms(b.P99), "%.1f", 0},
		{"requests that waited (%)", 100 * a.Waited, 100 * b.Waited, "%.1f", 0},
		{"environments", a.Environments, b.Environments, "%.0f", 0},
		{"dollars", a.Dollars, b.Dollars, "%.6f", 0},
	}
}

// mostLate is how late the load generator may be, in 99 of 100 requests, on a machine that can tell waits of some milliseconds:
// what keeps it from its CPU keeps the others from theirs.
const mostLate = 5 * time.Millisecond

// verdict is an error if the simulator is too far from reality, or the machine was too busy to tell.
func (r *report) verdict() (err error) {
	if r.Late > mostLate {
		err = fmt.Errorf("the machine is too busy: requests were sent up to %s late", round(r.Late))
	}
	for _, c := range r.comparisons() {
		if d := math.Abs(c.off()); c.allowed > 0 && !(d <= c.allowed) {
			err = errors.Join(err, fmt.Errorf("%s: simulated %.3f, measured %.3f: %.0f %% off, more than %.0f %%",
				c.what, c.simulated, c.reality, 100*d, 100*c.allowed))
		}
	}
	return err
}

// markdown is the page of a run whose data is in the file.
func (r *report) markdown(file string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Reality and the simulator

Made by `+"`make bench-replay`"+`; do not edit. Data: [%[1]s](%[1]s). How it is measured:
[docs/performance.md](../../docs/performance.md#reality-and-the-simulator).

%[2]s

%[3]v of the trace %[4]s, %[5]g times as fast: %[6]d requests through Envoy, control plane and lambdalocal, functions of %[7]d
MB, all settings at their defaults. The simulator replays the same requests with the same scheduler, %[8]d times; its numbers are means.

| | reality | simulator | off by | allowed |
|---|---|---|---|---|
`, file, r.Origin, r.Settings.Length, r.Settings.Trace, r.Settings.Factor, r.Requests, r.MemoryMB, r.Settings.Seeds)
	for _, c := range r.comparisons() {
		allowed, off := "", fmt.Sprintf("%+.1f %%", 100*c.off())
		if c.allowed > 0 {
			allowed, off = fmt.Sprintf("%.0f %%", 100*c.allowed), "**"+off+"**"
		}
		if math.IsNaN(c.off()) || math.IsInf(c.off(), 0) {
			off = ""
		}
		fmt.Fprintf(&b, "| %s | "+c.format+" | "+c.format+" | %s | %s |\n", c.what, c.reality, c.simulated, off, allowed)
	}
	fmt.Fprintf(&b, `
What the simulator is told of this machine, measured on other functions: a request's way takes %s beside its service time in
the median, and %s more in the p95 (meanwhile, from requests that need not wait: their differences are added to the simulated
waits as they are in the real ones); a warm start %s in the median, of which %s are not billed (deviation of the logarithm %.2f); the end
of an instance %s. A cold start waits %s in the median before its init of %s, as lambdalocal is configured.
`, round(r.Steps.Path), round(r.Jitter), round(r.Steps.Dial+call), round(call), r.Steps.DialSigma, round(r.Steps.Finish), round(lab.ColdP50), round(r.Steps.Init))
	return b.String()
}

func round(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
