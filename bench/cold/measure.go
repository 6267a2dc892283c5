package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

// measure fills a report in. The phases of each app follow each other; in each, both ways get the same requests at the same moment.
func measure(ctx context.Context, l *lab.Lab, s settings, stdout io.Writer) (*report, error) {
	origin, err := lab.Here()
	if err != nil {
		return nil, err
	}
	apps, err := s.apps()
	if err != nil {
		return nil, err
	}
	r := &report{Origin: origin, Settings: s, MemoryMB: lab.MemoryMB}
	for _, a := range apps {
		t, err := try(ctx, l, s, a, stdout)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		r.Apps = append(r.Apps, t)
	}
	return r, origin.Finish()
}

// try sends all phases to an app, in a stack of its own.
func try(ctx context.Context, l *lab.Lab, s settings, a app, stdout io.Writer) (tried, error) {
	t := tried{Name: a.name, About: a.about, Missing: a.missing}
	if a.missing != "" {
		_, err := fmt.Fprintf(stdout, "%s: not measured: %s\n", a.name, a.missing)
		return t, err
	}
	sub, err := l.Sub(a.name)
	if err != nil {
		return t, err
	}
	defer sub.Close()
	phases := s.phases(a.share)
	stack, err := lab.StartStack(ctx, sub, functions(phases, a))
	if err != nil {
		return t, err
	}
	for _, p := range phases {
		fmt.Fprintf(stdout, "%s, %s: %s, both ways at once\n", a.name, p.name, p.about)
		m, err := pair(ctx, stack, p)
		if err != nil {
			return t, err
		}
		t.Phases = append(t.Phases, m)
	}
	return t, nil
}

func functions(phases []phase, a app) (list []lab.Function) {
	for _, p := range phases {
		f := a.function
		f.Name = p.name
		list = append(list, lab.BothWays(f)...)
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
			s.Answers = append(s.Answers, answer{At: (at - p.from).Round(time.Millisecond), Took: a.Took.Round(time.Millisecond), By: a.By})
		}
	}
	return s, err
}
