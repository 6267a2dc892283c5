package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// The functions: one that is always ready, one that is stopped between requests, and the trace's.
const (
	keptName  = "kept"
	loneName  = "lone"
	traceName = "trace"
)

const (
	service    = 50 * time.Millisecond // of the requests that measure
	loneEvery  = time.Second
	loneBefore = 8 * time.Second // until the policy knows lone requests, and has started environments for the next peak
	keptFor    = 5 * time.Second
	keptRate   = 10
	// call is the part of a warm start that is not billed: the call of Invoke until lambdalocal has the invocation.
	call = time.Millisecond
)

// A bench is one run.
type bench struct {
	stack  *lab.Stack
	report *report
	stdout io.Writer
	jitter []time.Duration // of ways, sorted
}

func measure(ctx context.Context, l *lab.Lab, s settings, stdout io.Writer) (*report, error) {
	origin, err := lab.Here()
	if err != nil {
		return nil, err
	}
	w, err := simulation.Trace(s.Trace, s.From, s.Length, s.Factor)
	if err != nil {
		return nil, err
	}
	b := &bench{report: &report{Origin: origin, Settings: s, MemoryMB: lab.MemoryMB, Requests: len(w.Requests)}, stdout: stdout}
	b.stack, err = lab.StartStack(ctx, l, []lab.Function{{Name: keptName, Scaling: "{min: 1}"}, {Name: loneName}, {Name: traceName}})
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return b.measurePath(ctx) },
		func() error { return b.measureStarts(ctx, s.Lone) },
		func() error { return b.replay(ctx, w) },
		func() error { return b.predict(w) },
		origin.Finish,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.report, nil
}

// measurePath finds out what a request takes beside its service time if it need not wait: its way there and back, and what
// the app sleeps too long.
func (b *bench) measurePath(ctx context.Context) error {
	fmt.Fprintln(b.stdout, "requests that need not wait")
	err := lab.Until(ctx, "a ready instance", nil, func() error {
		e, err := b.stack.Estimate(keptName)
		if err == nil && e.Ready == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	if err != nil {
		return err
	}
	w := simulation.Constant(keptName, keptFor, keptRate, service)
	answers, err := lab.Send(ctx, w, b.stack.ThroughURL, keptName)
	if err != nil {
		return err
	}
	b.report.Steps.Path = arrivals.Quantile(steps{}.waits(w, answers), 0.5)
	return nil
}

// measureStarts finds out how long the steps of a warm start take, from lone requests: each waits for one. What is billed
// for it beside the request is the start, as far as it is billed, and the end.
func (b *bench) measureStarts(ctx context.Context, n int) error {
	fmt.Fprintf(b.stdout, "%d requests that wait for a warm start\n", n)
	if _, err := lab.Send(ctx, simulation.Constant(loneName, loneBefore, 1/loneEvery.Seconds(), service), b.stack.ThroughURL, loneName); err != nil {
		return err
	}
	if _, err := b.stack.Ended(ctx, loneName); err != nil {
		return err
	}
	before, err := b.stack.Account(loneName)
	if err != nil {
		return err
	}
	counters, err := b.stack.Counters(loneName)
	if err != nil {
		return err
	}
	w := simulation.Constant(loneName, time.Duration(n)*loneEvery, 1/loneEvery.Seconds(), service)
	answers, err := lab.Send(ctx, w, b.stack.ThroughURL, loneName)
	if err != nil {
		return err
	}
	if _, err := b.stack.Ended(ctx, loneName); err != nil {
		return err
	}
	after, err := b.stack.Account(loneName)
	if err != nil {
		return err
	}
	invocations := after.Invoke.Requests - before.Invoke.Requests
	if invocations < int64(n) {
		return fmt.Errorf("lone: %d requests were only %d invocations", n, invocations)
	}
	up := spreadOf(b.report.Steps.waits(w, answers))
	billed := time.Duration(after.Invoke.BilledMs-before.Invoke.BilledMs) * time.Millisecond / time.Duration(invocations)
	s := &b.report.Steps
	s.Init = time.Duration(before.Invoke.InitMs) * time.Millisecond / time.Duration(max(1, counters.Cold))
	s.Dial, s.DialSigma = up.Median-call, up.Sigma
	s.Finish = max(0, billed-service-s.Dial)
	return nil
}

// spreadOf is the lognormal distribution with the median and the 90th percentile of the values.
func spreadOf(sorted []time.Duration) simulation.Spread {
	median, high := arrivals.Quantile(sorted, 0.5), arrivals.Quantile(sorted, 0.9)
	if median <= 0 {
		return simulation.Spread{}
	}
	return simulation.Spread{Median: median, Sigma: math.Log(float64(high)/float64(median)) / 1.2816}
}

// waits are how long the requests of a workload waited for a slot, sorted: what their answers took since they were sent, less
// service and path.
func (s steps) waits(w simulation.Workload, answers []arrivals.Answer) []time.Duration {
	waits := make([]time.Duration, len(answers))
	for n, a := range answers {
		waits[n] = max(0, a.Took-a.Late-lab.Slept(w.Requests[n])-s.Path)
	}
	slices.Sort(waits)
	return waits
}

func (b *bench) replay(ctx context.Context, w simulation.Workload) error {
	fmt.Fprintf(b.stdout, "%d requests of the trace in %v\n", len(w.Requests), w.Horizon.Round(time.Second))
	answers, err := b.sendBoth(ctx, w)
	if err != nil {
		return err
	}
	e, err := b.stack.Ended(ctx, traceName)
	if err != nil {
		return err
	}
	account, err := b.stack.Account(traceName)
	if err != nil {
		return err
	}
	counters, err := b.stack.Counters(traceName)
	if err != nil {
		return err
	}
	waits := b.report.Steps.waits(w, answers)
	b.report.Late = arrivals.LateOf(answers)
	b.report.Reality = simulation.Prediction{
		GBSeconds: account.Invoke.GBSeconds, Dollars: account.Invoke.Dollars,
		Starts: float64(e.Starts), Environments: float64(counters.Cold),
		Waited: e.Waits.Share(),
		P50:    arrivals.Quantile(waits, 0.5), P95: arrivals.Quantile(waits, 0.95), P99: arrivals.Quantile(waits, 0.99),
	}
	return nil
}

// sendBoth replays the trace while other requests, which need not wait, show how long a way takes meanwhile, and by how much
// ways differ.
func (b *bench) sendBoth(ctx context.Context, w simulation.Workload) ([]arrivals.Answer, error) {
	beside := simulation.Constant(keptName, w.Horizon, keptRate, service)
	var ways []arrivals.Answer
	waysErr := make(chan error, 1)
	go func() {
		var err error
		ways, err = lab.Send(ctx, beside, b.stack.ThroughURL, keptName)
		waysErr <- err
	}()
	answers, err := lab.Send(ctx, w, b.stack.ThroughURL, traceName)
	if err := errors.Join(err, <-waysErr); err != nil {
		return nil, err
	}
	took := steps{}.waits(beside, ways)
	b.report.Steps.Path = arrivals.Quantile(took, 0.5)
	for _, d := range took {
		b.jitter = append(b.jitter, d-b.report.Steps.Path)
	}
	b.report.Jitter = arrivals.Quantile(b.jitter, 0.95)
	return answers, nil
}

// predict simulates what was replayed: a request keeps its slot for its way as well.
func (b *bench) predict(w simulation.Workload) (err error) {
	load := simulation.Workload{Name: w.Name, Requests: slices.Clone(w.Requests), Horizon: w.Horizon}
	for n, r := range load.Requests {
		load.Requests[n].Service = lab.Slept(r) + b.report.Steps.Path
	}
	b.report.Simulated, err = simulation.Predict(load, b.report.Steps.model(), lab.MemoryMB, b.report.Settings.Seeds, b.jitter)
	return err
}
