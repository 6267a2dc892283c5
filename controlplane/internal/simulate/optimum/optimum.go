// Package optimum computes in hindsight how cheaply requests could have been served at given times. The optimum itself is as hard to find
// as bin packing, so there are two bounds: no schedule costs less than Least, and Packed is a schedule that is possible.
package optimum

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// Costs of a schedule, in billed time of an instance.
type Costs struct {
	Slots int           // requests that an instance serves at once
	Start time.Duration // what each start bills before and after it serves, and its fee
	Fee   time.Duration // of that, the fee
	Init  time.Duration // more, for each instance of the most that exist at once: somebody must have made its environment
}

// A Plan is what a schedule costs.
type Plan struct {
	Billed time.Duration // starts and inits included
	Starts int
	Most   int // instances at once
}

// Least returns the least cost of serving each request from its At for its Service. It lets requests move between instances at any
// moment for free, so no schedule in which they stay costs less. As many instances run as the requests fill. One that is not needed
// stays if it is needed again before it would have cost as much as a start.
func Least(requests []workload.Request, c Costs) Plan {
	var p Plan
	var since []time.Duration // when the need fell below each number of instances, the highest first in
	needed, from := 0, time.Duration(0)
	for _, l := range (workload.Workload{Requests: byArrival(requests)}).Levels() {
		p.Billed += time.Duration(needed) * (l.From - from)
		from = l.From
		next := (l.InFlight + c.Slots - 1) / c.Slots
		for ; needed > next; needed-- {
			since = append(since, l.From)
		}
		for ; needed < next; needed++ {
			n := len(since)
			if n > 0 && l.From-since[n-1] <= c.Start {
				p.Billed += l.From - since[n-1]
			} else {
				p.Billed += c.Start
				p.Starts++
			}
			since = since[:max(0, n-1)]
		}
		p.Most = max(p.Most, needed)
	}
	p.Billed += time.Duration(p.Most) * c.Init
	return p
}

func byArrival(requests []workload.Request) []workload.Request {
	sorted := slices.Clone(requests)
	slices.SortStableFunc(sorted, func(a, b workload.Request) int { return cmp.Compare(a.At, b.At) })
	return sorted
}

// Packed returns the cost of a schedule in which requests stay where they begin. In order of arrival each goes to the instance whose
// bill grows least by it. The schedule knows how long each request takes.
func Packed(requests []workload.Request, c Costs) Plan {
	s := packing{costs: c}
	for _, r := range byArrival(requests) {
		s.leave(r.At)
		s.place(r)
	}
	s.leave(1<<62 - 1)
	s.plan.Billed += time.Duration(s.plan.Most) * c.Init
	return s.plan
}

// A packing is the state of Packed while time passes.
type packing struct {
	costs     Costs
	instances []*packed // that have not stopped, by when they will have served what they have
	ends      ends
	plan      Plan
}

// A packed is one instance.
type packed struct {
	until time.Duration // when it has served what it has
	used  int
}

type ending struct {
	at time.Duration
	on *packed
}

// leave frees the slots of requests that have ended, and stops instances that have been idle for as long as a start costs.
func (s *packing) leave(now time.Duration) {
	for len(s.ends) > 0 && s.ends[0].at <= now {
		heap.Pop(&s.ends).(ending).on.used--
	}
	k := 0
	for k < len(s.instances) && s.instances[k].until+s.costs.Start < now {
		k++
	}
	s.instances = slices.Delete(s.instances, 0, k)
}

// place puts a request on an instance. It prefers one that serves longer anyway, and of these the one that ends first. If there is none
// it takes the one that has to serve on for the shortest time.
func (s *packing) place(r workload.Request) {
	end := r.At + r.Service
	k, _ := slices.BinarySearchFunc(s.instances, end, func(i *packed, end time.Duration) int { return int(i.until - end) })
	best := -1
	for n := k; n < len(s.instances) && best < 0; n++ {
		if s.instances[n].used < s.costs.Slots {
			best = n
		}
	}
	for n := k - 1; n >= 0 && best < 0; n-- {
		if s.instances[n].used < s.costs.Slots && end-s.instances[n].until < r.Service+s.costs.Start {
			best = n
		}
	}
	i := &packed{until: r.At}
	if best >= 0 {
		i = s.instances[best]
		s.instances = slices.Delete(s.instances, best, best+1)
	} else {
		s.plan.Starts++
		s.plan.Billed += s.costs.Start
	}
	s.plan.Billed += max(0, end-i.until)
	i.until = max(i.until, end)
	i.used++
	heap.Push(&s.ends, ending{end, i})
	at, _ := slices.BinarySearchFunc(s.instances, i.until, func(i *packed, until time.Duration) int { return int(i.until - until) })
	s.instances = slices.Insert(s.instances, at, i)
	s.plan.Most = max(s.plan.Most, len(s.instances))
}

// ends is a heap of endings, soonest first.
type ends []ending

func (h ends) Len() int           { return len(h) }
func (h ends) Less(a, b int) bool { return h[a].at < h[b].at }
func (h ends) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *ends) Push(x any)        { *h = append(*h, x.(ending)) }
func (h *ends) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}
