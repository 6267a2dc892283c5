package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// A bench is one run.
type bench struct {
	stack  *lab.Stack
	report *report
	stdout io.Writer
}

// measure fills a report in. Each workload has functions of its own, all of them in one lambdalocal and one control plane.
func measure(ctx context.Context, l *lab.Lab, s settings, stdout io.Writer) (*report, error) {
	origin, err := lab.Here()
	if err != nil {
		return nil, err
	}
	workloads, err := s.workloads()
	if err != nil {
		return nil, err
	}
	b := &bench{report: &report{Origin: origin, Settings: s, MemoryMB: lab.MemoryMB}, stdout: stdout}
	if b.stack, err = lab.StartStack(ctx, l, functions(workloads)); err != nil {
		return nil, err
	}
	if b.report.Lone, err = b.lone(ctx, s.Lone); err != nil {
		return nil, err
	}
	for _, w := range workloads {
		p, err := b.pair(ctx, w)
		if err != nil {
			return nil, err
		}
		b.report.Bills = append(b.report.Bills, p)
	}
	sparse := b.report.Bills[0]
	b.report.Rates = []rate{{sparseRate, sparse.Requests, uint64(sparse.Through.Invocations), sparse.Through.Dollars}}
	for _, perSecond := range around {
		r, err := b.rate(ctx, perSecond, s.Rate)
		if err != nil {
			return nil, err
		}
		b.report.Rates = append(b.report.Rates, r)
	}
	return b.report, origin.Finish()
}

func functions(workloads []described) []lab.Function {
	list := lab.BothWays(lab.Function{Name: loneName})
	for _, w := range workloads {
		list = append(list, lab.AllWays(lab.Function{Name: w.Name})...)
	}
	for _, perSecond := range around {
		list = append(list, lab.Function{Name: rateName(perSecond)})
	}
	return list
}

// pair bills one workload all ways.
func (b *bench) pair(ctx context.Context, w described) (p pair, err error) {
	fmt.Fprintf(b.stdout, "%s: %d requests in %v, three ways\n", w.Name, len(w.Requests), w.Horizon.Round(time.Second))
	p = pair{Workload: w.Name, About: w.about, Requests: len(w.Requests), Work: w.Work().Seconds() * lab.MemoryMB / 1024}
	if p.Direct, err = b.side(ctx, w.Workload, w.Name, b.stack.OneEach()); err != nil {
		return p, err
	}
	if p.Through, err = b.side(ctx, w.Workload, w.Name, b.stack.Dispatched()); err != nil {
		return p, err
	}
	if p.Managed, err = b.managed(ctx, w); err != nil {
		return p, err
	}
	e, err := b.stack.Estimate(w.Name)
	p.Estimate = estimate{e.Bill.GBSeconds, e.Bill.Dollars, e.Bill.Plain.GBSeconds, e.Bill.Plain.Dollars}
	return p, err
}

// managed replays a workload on Managed Instances, which are there before and after: what they cost is that of the time from the
// first request until the last answer.
func (b *bench) managed(ctx context.Context, w described) (managed, error) {
	to := b.stack.OnInstances()
	name := to.Named(w.Name)
	up := func() error { return lab.GetJSON(to.URL(name, "/sleep?ms=0"), nil) }
	if err := lab.Until(ctx, name, nil, up); err != nil {
		return managed{}, err
	}
	before, err := b.stack.Account(name)
	if err != nil {
		return managed{}, err
	}
	answers, err := lab.Send(ctx, w.Workload, to.URL, name)
	if err != nil {
		return managed{}, err
	}
	after, err := b.stack.Account(name)
	if err != nil {
		return managed{}, err
	}
	return managed{
		Invocations: after.Total.Requests - before.Total.Requests, Dollars: after.Total.Dollars - before.Total.Dollars,
		Instances: after.Managed.Instances, InstanceSeconds: after.Managed.InstanceSeconds - before.Managed.InstanceSeconds,
		Latency: arrivals.LatencyOf(answers), Late: arrivals.LateOf(answers),
	}, nil
}

// side replays a workload against a function, waits until no instance is left, and reads all that the function has cost.
func (b *bench) side(ctx context.Context, w simulation.Workload, name string, to lab.Way) (side, error) {
	name = to.Named(name)
	answers, err := lab.Send(ctx, w, to.URL, name)
	if err != nil {
		return side{}, err
	}
	if _, err := b.stack.Ended(ctx, name); err != nil {
		return side{}, err
	}
	account, err := b.stack.Account(name)
	if err != nil {
		return side{}, err
	}
	counters, err := b.stack.Counters(name)
	e := to.Entry(account)
	return side{
		Invocations: e.Requests, BilledMs: e.BilledMs, InitMs: e.InitMs, GBSeconds: e.GBSeconds, Dollars: e.Dollars,
		Environments: counters.Cold, Latency: arrivals.LatencyOf(answers), Late: arrivals.LateOf(answers),
	}, err
}

// lone sends requests so far apart that each finds no instance, after some that made the environments and that the policy
// has learned from.
func (b *bench) lone(ctx context.Context, n int) (lone, error) {
	fmt.Fprintf(b.stdout, "lone: %d requests, both ways\n", n)
	first := simulation.Constant(loneName, loneBefore, 1/loneEvery.Seconds(), service)
	all := simulation.Constant(loneName, time.Duration(n)*loneEvery, 1/loneEvery.Seconds(), service)
	out := lone{Requests: n}
	for _, one := range []struct {
		to   lab.Way
		into *side
	}{{b.stack.OneEach(), &out.Direct}, {b.stack.Dispatched(), &out.Through}} {
		before, err := b.side(ctx, first, loneName, one.to)
		if err != nil {
			return out, err
		}
		after, err := b.side(ctx, all, loneName, one.to)
		if err != nil {
			return out, err
		}
		*one.into = after.since(before)
		if one.into.Environments > 0 {
			return out, fmt.Errorf("lone: %d requests made %d environments", n, one.into.Environments)
		}
	}
	return out, nil
}

// warmUp is for how long a rate comes before it is measured.
const warmUp = 2 * time.Second

// rate measures between two moments while the requests come, by the control plane's bill: the ledger knows of no
// invocation that has not ended.
func (b *bench) rate(ctx context.Context, perSecond float64, length time.Duration) (rate, error) {
	fmt.Fprintf(b.stdout, "%g requests/s of %v\n", perSecond, service)
	name := rateName(perSecond)
	if _, err := lab.Send(ctx, simulation.Poisson(name, warmUp, perSecond, service, seed), b.stack.ThroughURL, name); err != nil {
		return rate{}, err
	}
	before, err := b.stack.Estimate(name)
	if err != nil {
		return rate{}, err
	}
	w := rateWorkload(perSecond, length)
	if _, err := lab.Send(ctx, w, b.stack.ThroughURL, name); err != nil {
		return rate{}, err
	}
	after, err := b.stack.Estimate(name)
	return rate{
		PerSecond: perSecond, Requests: len(w.Requests), Invocations: after.Starts - before.Starts,
		Dollars: after.Bill.Dollars - before.Bill.Dollars,
	}, err
}
