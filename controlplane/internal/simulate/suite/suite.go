package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// A Plan says what to run.
type Plan struct {
	Workloads   []workload.Generator
	Policies    []baseline.Contender
	FirstSeed   uint64
	Seeds       int
	RivalSeeds  int // of other policies than ours; 0: as many
	Concurrency int
	Preset      lambda.Preset
	Change      func(*simulate.Settings) // nil: nothing
	Before      func() error             // called before each step, from any goroutine; an error ends the plan. nil: nothing
}

// A Stat is a mean over seeds and the standard deviation between them.
type Stat struct {
	Mean   float64 `json:"mean"`
	Spread float64 `json:"spread"`
}

// MarshalJSON writes null for what is no number, such as a share of nothing.
func (s Stat) MarshalJSON() ([]byte, error) {
	type pair struct {
		Mean   *float64 `json:"mean"`
		Spread *float64 `json:"spread"`
	}
	return json.Marshal(pair{finite(s.Mean), finite(s.Spread)})
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func stat(values []float64) Stat {
	var s Stat
	for _, v := range values {
		s.Mean += v / float64(len(values))
	}
	for _, v := range values {
		s.Spread += (v - s.Mean) * (v - s.Mean) / float64(max(1, len(values)-1))
	}
	s.Spread = math.Sqrt(s.Spread)
	return s
}

// A Row holds the results of one policy on one workload. Waits are in milliseconds, shares in percent.
type Row struct {
	Workload    string `json:"workload"`
	Smooth      bool   `json:"smooth"`
	Policy      string `json:"policy"`
	Ratio       Stat   `json:"ratio"` // billed over the bound
	P50         Stat   `json:"wait_p50_ms"`
	P95         Stat   `json:"wait_p95_ms"`
	P99         Stat   `json:"wait_p99_ms"`
	Max         Stat   `json:"wait_max_ms"`
	Settled     Stat   `json:"settled_wait_p99_ms"` // after the first five minutes
	Cold        Stat   `json:"cold_percent"`
	SettledCold Stat   `json:"settled_cold_percent"`
	ColdStarts  Stat   `json:"cold_starts"`
	WarmStarts  Stat   `json:"warm_starts"`
	GBSeconds   Stat   `json:"gb_seconds"`
	Dollars     Stat   `json:"dollars"`
	Utilization Stat   `json:"utilization_percent"`
	Lost        Stat   `json:"lost"` // requests refused, evicted or failed
	Cut         Stat   `json:"cut"`  // by an outage of Envoy
	Left        Stat   `json:"left"` // their clients did

	// What was billed, fees included, over what serving the same requests at the same times would have cost in hindsight.
	OverLeast  Stat `json:"over_least"`  // if requests could move between instances: nothing is cheaper
	OverPacked Stat `json:"over_packed"` // in a schedule that exists
	P50Served  Stat `json:"latency_p50_ms"`
	P99Served  Stat `json:"latency_p99_ms"`
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A field is a number of a row, and how it is taken from a result.
type field struct {
	stat *Stat
	from func(simulate.Result) float64
}

func (r *Row) fields() []field {
	return []field{
		{&r.Ratio, simulate.Result.Ratio},
		{&r.P50, func(x simulate.Result) float64 { return millis(x.All.Quantile(0.5)) }},
		{&r.P95, func(x simulate.Result) float64 { return millis(x.All.Quantile(0.95)) }},
		{&r.P99, func(x simulate.Result) float64 { return millis(x.All.Quantile(0.99)) }},
		{&r.Max, func(x simulate.Result) float64 { return millis(x.All.Quantile(1)) }},
		{&r.Settled, func(x simulate.Result) float64 { return millis(x.Settled.Quantile(0.99)) }},
		{&r.Cold, func(x simulate.Result) float64 { return 100 * x.All.ColdShare() }},
		{&r.SettledCold, func(x simulate.Result) float64 { return 100 * x.Settled.ColdShare() }},
		{&r.ColdStarts, func(x simulate.Result) float64 { return float64(x.ColdStarts) }},
		{&r.WarmStarts, func(x simulate.Result) float64 { return float64(x.WarmStarts) }},
		{&r.GBSeconds, func(x simulate.Result) float64 { return x.GBSeconds }},
		{&r.Dollars, func(x simulate.Result) float64 { return x.Dollars }},
		{&r.Utilization, func(x simulate.Result) float64 { return 100 * x.Utilization() }},
		{&r.Lost, func(x simulate.Result) float64 { return float64(x.Lost()) }},
		{&r.Cut, func(x simulate.Result) float64 { return float64(x.Cut) }},
		{&r.Left, func(x simulate.Result) float64 { return float64(x.Left) }},
		{&r.OverLeast, func(x simulate.Result) float64 { return x.OverLeast() }},
		{&r.OverPacked, func(x simulate.Result) float64 { return x.OverPacked() }},
		{&r.P50Served, func(x simulate.Result) float64 { return millis(simulate.Quantile(x.Latency, 0.5)) }},
		{&r.P99Served, func(x simulate.Result) float64 { return millis(simulate.Quantile(x.Latency, 0.99)) }},
	}
}

// Run runs every policy on every workload with every seed, on all processors, and returns the rows in the plan's order.
func (p Plan) Run() ([]Row, error) {
	n := len(p.Policies)
	samples := make([][][]float64, len(p.Workloads)*n) // by row, seed and field
	for k := range samples {
		samples[k] = make([][]float64, p.Seeds)
	}
	errs := make([]error, len(p.Workloads)*p.Seeds)
	forEach(len(errs), func(k int) {
		w, seed := k/p.Seeds, k%p.Seeds
		errs[k] = p.runAll(w, seed, func(policy int, r simulate.Result) {
			samples[w*n+policy][seed] = numbers(r)
		})
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	rows := make([]Row, len(samples))
	for k := range rows {
		g := p.Workloads[k/n]
		rows[k] = Row{Workload: g.Name, Smooth: g.Smooth, Policy: p.Policies[k%n].Name}
		rows[k].sumUp(slices.DeleteFunc(samples[k], func(s []float64) bool { return s == nil }))
	}
	return rows, nil
}

// numbers returns a result's values for the fields of a row. Results themselves are too large to keep.
func numbers(r simulate.Result) []float64 {
	var out []float64
	for _, f := range (&Row{}).fields() {
		out = append(out, f.from(r))
	}
	return out
}

// sumUp fills in mean and deviation of each field from the numbers of each seed.
func (r *Row) sumUp(samples [][]float64) {
	values := make([]float64, len(samples))
	for n, f := range r.fields() {
		for k, s := range samples {
			values[k] = s[n]
		}
		*f.stat = stat(values)
	}
}

// HeldOutSeed is the first of the seeds that nothing was tuned on.
const HeldOutSeed = 1001

// heldOut is added to the workload's name in rows whose seeds or traces the policy was not tuned on.
const heldOut = " (held out)"

// Full runs the workloads that the policy was tuned on, with the seeds from 1 on, and then these and all others with half
// as many seeds that were held out. Recorded traces come last, if there are any.
func (p Plan) Full(recorded []workload.Generator) ([]Row, error) {
	p.Workloads, p.FirstSeed = append(Tuned(), Everyday()...), 1
	rows, err := p.Run()
	if err != nil {
		return nil, err
	}
	p.Workloads, p.FirstSeed, p.Seeds = append(All(), recorded...), HeldOutSeed, (p.Seeds+1)/2
	more, err := p.Run()
	for k := range more {
		more[k].Workload += heldOut
	}
	return append(rows, more...), err
}

// runAll runs all policies on one workload with the nth seed.
func (p Plan) runAll(w, nth int, take func(policy int, r simulate.Result)) error {
	seed := p.FirstSeed + uint64(nth)
	if err := p.before(); err != nil { // a workload may take long to make
		return err
	}
	load := p.Workloads[w].Make(seed)
	for k, policy := range p.Policies {
		if p.RivalSeeds > 0 && nth >= p.RivalSeeds && policy.Name != baseline.Ours {
			continue
		}
		r, err := p.One(load, policy, seed, 0)
		if err != nil {
			return fmt.Errorf("%s, %s, seed %d: %w", load.Name, policy.Name, seed, err)
		}
		take(k, r)
	}
	return nil
}

// One runs one policy on one workload.
func (p Plan) One(load workload.Workload, policy baseline.Contender, seed uint64, samples int) (simulate.Result, error) {
	if err := p.before(); err != nil {
		return simulate.Result{}, err
	}
	s := simulate.Defaults(p.Concurrency, seed)
	s.Lambda.Preset = p.Preset
	s.Samples, s.BoundSlots = samples, p.Concurrency
	if p.Change != nil {
		p.Change(&s)
	}
	policy.Apply(&s, load)
	s.Sized(load)
	s.Priced()
	return policy.Replay(load, s)
}

func (p Plan) before() error {
	if p.Before == nil {
		return nil
	}
	return p.Before()
}

// forEach calls f for 0 to n-1, on all processors at once.
func forEach(n int, f func(int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for k := range next {
				f(k)
			}
		})
	}
	for k := range n {
		next <- k
	}
	close(next)
	workers.Wait()
}
