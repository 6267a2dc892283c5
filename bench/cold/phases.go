package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// A phase is a kind of traffic. Each has a pair of functions of its own, so that none finds another's environments.
type phase struct {
	name, about string
	from        time.Duration // answers to requests that are due earlier are not counted: they belong to another phase
	requests    simulation.Workload
}

// phases in the order of the report. Rates are full times share, but for that of the lone requests.
func (s settings) phases(share float64) []phase {
	const second = time.Second
	poisson := func(from, length time.Duration, perSecond float64, salt uint64) []simulation.Request {
		return later(from, simulation.Poisson("", length, perSecond, s.Service, s.Seed+salt).Requests)
	}
	// rising goes up to the full rate in 15 steps: no environment stands idle that an earlier peak has paid for.
	rising := func(each time.Duration, salt uint64) (w []simulation.Request) {
		for n := range 15 {
			w = append(w, poisson(time.Duration(n)*each, each, float64(n+1)*share, salt+uint64(n))...)
		}
		return w
	}
	began := s.Init + 2*second
	first := simulation.Constant("", second, 1, s.Service).Requests // so that the first start is over in time
	rate := func(full float64) string { return strconv.FormatFloat(full*share, 'g', 3, 64) }
	return []phase{
		{
			"scale-up", fmt.Sprintf("%s requests within a second when nothing runs, then %s a second", rate(60), rate(15)), 0,
			join(poisson(0, second, 60*share, 1), poisson(second, s.Init+11*second, 15*share, 2)),
		},
		{
			"steady", fmt.Sprintf("from %s to %s requests a second within a minute, counted when the first start is over", rate(1), rate(15)), began,
			join(first, poisson(0, began, 0.5, 3), later(began, rising(4*second, 10))),
		},
		{
			"crowd", fmt.Sprintf("that within 15 s, then %s requests within a second beside %s a second, which are counted", rate(100), rate(15)), began + 15*second,
			join(first, poisson(0, began, 0.5, 4), later(began, rising(second, 30)), poisson(began+15*second, second, 100*share, 5), poisson(began+15*second, 12*second, 15*share, 6)),
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
