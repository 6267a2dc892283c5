package pool

import (
	"iter"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Stats is a pool at one moment.
type Stats struct {
	Waiting  int
	InFlight int // leases, those on draining, down and gone instances included
	Capacity int // slots of ready instances
	Free     int // slots of ready instances that can be leased
	Foreign  int // slots of ready instances that are taken although no lease is out on them

	Concurrency int // slots of an instance whose peer offers enough

	Starting, Ready, Draining, Down int // instances
	Frozen                          int // frozen environments that are certainly there for a start
	Claimed                         int // starting instances for which a frozen environment was there
	Rotating                        int // ready instances near the end of their lifetime

	// Counters since New. Started, Adopted and Inherited, less Ended, are the instances that exist.
	Started, Adopted, Inherited, Ended uint64
	Failed                             Failures // failed starts
	Returned                           uint64   // requests that an instance refused and that came back

	Blocked scaler.Block // what holds starts back; the zero Block: nothing
}

// Live is how many instances exist.
func (s Stats) Live() int { return s.Starting + s.Ready + s.Draining + s.Down }

// Stats returns the pool's numbers as of its latest event.
func (p *Pool) Stats() Stats {
	return Stats{
		Waiting: p.queue.n, InFlight: p.inFlight, Capacity: p.capacity, Free: p.free, Foreign: p.foreign, Concurrency: p.concurrency(),
		Starting: p.count[Starting], Ready: p.count[Ready], Draining: p.count[Draining], Down: p.count[Down],
		Rotating: p.rotating, Frozen: p.fleet.Frozen(p.now), Claimed: p.claimed,
		Started: p.counters.started, Adopted: p.counters.adopted, Inherited: p.counters.inherited, Ended: p.counters.ended,
		Failed: p.counters.failed, Returned: p.counters.returned,
		Blocked: p.blocked(),
	}
}

// blocked is what holds back a start that is wanted, or what would hold one back because starts fail.
func (p *Pool) blocked() scaler.Block {
	if p.block.Reason != "" {
		return p.block
	}
	return p.guards.Breaker.Block()
}

type counters struct {
	started, adopted, inherited, ended uint64
	arrivals, departures               uint64
	returned                           uint64
	failed                             Failures
}

// Failures counts failed starts by cause.
type Failures [len(scaler.StartCauses)]uint64

func (f *Failures) add(cause Cause) {
	for k, c := range scaler.StartCauses {
		if c == cause {
			f[k]++
		}
	}
}

// All yields every start cause with its count, zeros included.
func (f Failures) All() iter.Seq2[Cause, uint64] {
	return func(yield func(Cause, uint64) bool) {
		for k, n := range f {
			if !yield(scaler.StartCauses[k], n) {
				return
			}
		}
	}
}

// Total is the number of failed starts.
func (f Failures) Total() uint64 {
	var total uint64
	for _, n := range f {
		total += n
	}
	return total
}
