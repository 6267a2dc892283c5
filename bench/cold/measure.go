package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

const plainSuffix = "-plain"

// measure fills a report in. The phases follow each other; in each, both ways get the same requests at the same moment.
func measure(ctx context.Context, l *lab.Lab, s settings, stdout io.Writer) (*report, error) {
	origin, err := lab.Here()
	if err != nil {
		return nil, err
	}
	phases := s.phases()
	app, err := filepath.Abs("build/cold-app")
	if err != nil {
		return nil, err
	}
	stack, err := lab.StartStack(ctx, l, functions(phases, app, s))
	if err != nil {
		return nil, err
	}
	r := &report{Origin: origin, Settings: s, MemoryMB: lab.MemoryMB}
	for _, p := range phases {
		fmt.Fprintf(stdout, "%s: %s, both ways at once\n", p.name, p.about)
		m, err := pair(ctx, stack, p)
		if err != nil {
			return nil, err
		}
		r.Phases = append(r.Phases, m)
	}
	return r, origin.Finish()
}

func functions(phases []phase, app string, s settings) (list []lab.Function) {
	env := fmt.Sprintf("{COLD_INIT: %v}", s.Init)
	for _, p := range phases {
		list = append(list, lab.Function{Name: p.name, App: app, Env: env}, lab.Function{Name: p.name + plainSuffix, App: app, Env: env})
	}
	return list
}

// pair sends a phase both ways at once.
func pair(ctx context.Context, stack *lab.Stack, p phase) (m measured, err error) {
	m = measured{Name: p.name, About: p.about}
	var plainErr error
	var both sync.WaitGroup
	both.Go(func() {
		m.Plain, plainErr = side(ctx, stack, p, p.name+plainSuffix, stack.DirectURL)
	})
	m.Dispatched, err = side(ctx, stack, p, p.name, stack.ThroughURL)
	both.Wait()
	if err == nil {
		err = plainErr
	}
	if err != nil {
		return m, err
	}
	if _, err = stack.Ended(ctx, p.name); err != nil {
		return m, err
	}
	if m.Dispatched.Dollars, err = dollars(stack, p.name, func(a lambdalocal.Account) lambdalocal.Entry { return a.Invoke }); err != nil {
		return m, err
	}
	m.Plain.Dollars, err = dollars(stack, p.name+plainSuffix, func(a lambdalocal.Account) lambdalocal.Entry { return a.Direct })
	return m, err
}

func dollars(stack *lab.Stack, function string, entry func(lambdalocal.Account) lambdalocal.Entry) (float64, error) {
	account, err := stack.Account(function)
	return entry(account).Dollars, err
}

// side sends a phase one way.
func side(ctx context.Context, stack *lab.Stack, p phase, function string, url func(function, path string) string) (seen, error) {
	answers, err := lab.Send(ctx, p.requests, url, function)
	if err != nil {
		return seen{}, err
	}
	counters, err := stack.Counters(function)
	s := seen{Environments: counters.Cold, Requests: len(answers), Work: p.requests.Work()}
	for n, a := range answers {
		if at := p.requests.Requests[n].At; at >= p.from {
			s.Answers = append(s.Answers, answer{At: at - p.from, Took: a.Took, By: a.By})
		}
	}
	return s, err
}
