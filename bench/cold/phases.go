package main

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// A phase is a kind of traffic. Each has a pair of functions of its own, so that none finds another's environments.
type phase struct {
	name, about string
	from        time.Duration // answers to requests that are due earlier are not counted: they belong to another phase
	requests    simulation.Workload
}

// phases in the order of the report.
func (s settings) phases() []phase {
	const second = time.Second
	poisson := func(from, length time.Duration, perSecond float64, salt uint64) []simulation.Request {
		return later(from, simulation.Poisson("", length, perSecond, s.Service, s.Seed+salt).Requests)
	}
	// rising goes from one request a second to 15: no environment stands idle that an earlier peak has paid for.
	rising := func(each time.Duration, salt uint64) (w []simulation.Request) {
		for n := range 15 {
			w = append(w, poisson(time.Duration(n)*each, each, float64(n+1), salt+uint64(n))...)
		}
		return w
	}
	began := s.Init + 2*second
	first := simulation.Constant("", second, 1, s.Service).Requests // so that the first start is over in time
	return []phase{
		{
			"scale-up", "60 requests within a second when nothing runs, then 15 a second", 0,
			join(poisson(0, second, 60, 1), poisson(second, s.Init+11*second, 15, 2)),
		},
		{
			"steady", "from 1 to 15 requests a second within a minute, counted when the first start is over", began,
			join(first, poisson(0, began, 0.5, 3), later(began, rising(4*second, 10))),
		},
		{
			"crowd", "that within 15 s, then 100 requests within a second beside 15 a second, which are counted", began + 15*second,
			join(first, poisson(0, began, 0.5, 4), later(began, rising(second, 30)), poisson(began+15*second, second, 100, 5), poisson(began+15*second, 12*second, 15, 6)),
		},
		{
			"lone", "a request each five seconds, counted when the first start is over", began,
			join(simulation.Constant("", began+40*second, 0.2, s.Service).Requests),
		},
	}
}

func join(parts ...[]simulation.Request) (w simulation.Workload) {
	for _, p := range parts {
		w.Requests = append(w.Requests, p...)
	}
	return w
}

// later moves requests on in time.
func later(by time.Duration, requests []simulation.Request) []simulation.Request {
	for n := range requests {
		requests[n].At += by
	}
	return requests
}
