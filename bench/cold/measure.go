package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

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
	for _, p := range phases {
		list = append(list, lab.BothWays(lab.Function{Name: p.name, App: app, Env: fmt.Sprintf("{COLD_INIT: %v}", s.Init)})...)
	}
	return list
}

// pair sends a phase both ways at once, and waits until no instance is left.
func pair(ctx context.Context, stack *lab.Stack, p phase) (measured, error) {
	m := measured{Name: p.name, About: p.about}
	var plainErr, err error
	var both sync.WaitGroup
	both.Go(func() { m.Plain, plainErr = send(ctx, stack, p, stack.OneEach()) })
	both.Go(func() { m.Dispatched, err = send(ctx, stack, p, stack.Dispatched()) })
	both.Wait()
	if err = errors.Join(plainErr, err); err != nil {
		return m, err
	}
	_, err = stack.Ended(ctx, p.name)
	err = errors.Join(err, m.Plain.bill(stack, p, stack.OneEach()), m.Dispatched.bill(stack, p, stack.Dispatched()))
	return m, err
}

// bill adds what a way cost.
func (s *seen) bill(stack *lab.Stack, p phase, way lab.Way) error {
	account, err := stack.Account(way.Named(p.name))
	s.Dollars = way.Entry(account).Dollars
	return err
}

// send sends a phase one way.
func send(ctx context.Context, stack *lab.Stack, p phase, way lab.Way) (seen, error) {
	function := way.Named(p.name)
	answers, err := lab.Send(ctx, p.requests, way.URL, function)
	if err != nil {
		return seen{}, err
	}
	counters, err := stack.Counters(function)
	s := seen{Environments: counters.Cold, Requests: len(answers)}
	for n, a := range answers {
		if at := p.requests.Requests[n].At; at >= p.from {
			s.Answers = append(s.Answers, answer{At: at - p.from, Took: a.Took, By: a.By})
		}
	}
	return s, err
}
