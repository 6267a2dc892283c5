// Package workload makes and reads workloads for simulations and load tests: requests with a time of arrival and a service time. A
// generator gives the same requests for the same seed.
package workload

import (
	"slices"
	"time"
)

// A Request has a time of arrival since the beginning, and a service time where nothing slows it down.
type Request struct {
	At      time.Duration
	Service time.Duration
	Stream  bool // whoever decides is told that it will take long
}

// A Workload holds requests in order of arrival.
type Workload struct {
	Name     string
	Requests []Request
	Smooth   bool // arrivals without bursts: the targets are tighter
	Horizon  time.Duration
}

// finish puts the requests in order and sets the horizon: the end of the last request if nobody waits.
func (w Workload) finish() Workload {
	slices.SortStableFunc(w.Requests, func(a, b Request) int { return int(a.At - b.At) })
	for _, r := range w.Requests {
		w.Horizon = max(w.Horizon, r.At+r.Service)
	}
	return w
}

// Of makes a workload of requests in any order.
func Of(name string, requests []Request) Workload {
	return Workload{Name: name, Requests: slices.Clone(requests)}.finish()
}

// Most returns how many instances the requests in flight fill at their peak, if nobody waits.
func (w Workload) Most(concurrency int) int {
	most := 0
	for _, l := range w.Levels() {
		most = max(most, l.InFlight)
	}
	return (most + concurrency - 1) / concurrency
}

// A Level is the number of requests in flight from a time on.
type Level struct {
	From     time.Duration
	InFlight int
}

// Levels returns how many requests are in flight over time if nobody waits.
func (w Workload) Levels() []Level {
	ends := make([]time.Duration, len(w.Requests))
	for k, r := range w.Requests {
		ends[k] = r.At + r.Service
	}
	slices.Sort(ends)
	levels := make([]Level, 0, 2*len(ends))
	n := 0
	for a, e := 0, 0; e < len(ends); {
		at := ends[e]
		if a < len(w.Requests) && w.Requests[a].At < at {
			at = w.Requests[a].At
			n++
			a++
		} else {
			n--
			e++
		}
		levels = append(levels, Level{at, n})
	}
	return levels
}

// Bound returns the least time of instances with which nobody waits: the integral of how many instances the requests in flight fill, if
// starts took no time and requests were packed perfectly at every moment.
func (w Workload) Bound(concurrency int) time.Duration {
	var sum time.Duration
	levels := w.Levels()
	for k, l := range levels[:max(0, len(levels)-1)] {
		sum += (levels[k+1].From - l.From) * time.Duration((l.InFlight+concurrency-1)/concurrency)
	}
	return sum
}

// Work returns the sum of the service times.
func (w Workload) Work() time.Duration {
	var sum time.Duration
	for _, r := range w.Requests {
		sum += r.Service
	}
	return sum
}
