package simulate

import (
	"cmp"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/optimum"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// WarmUp is the beginning of a run that Result.Settled leaves out, because no environment exists at first.
const WarmUp = 5 * time.Minute

// A Result says what a run cost the owner, and how long clients waited.
type Result struct {
	Requests int
	Rejected int // found the queue full
	Evicted  int // waited in vain
	Failed   int // were in flight when their instance died
	Cut      int // came, waited or were in flight while Envoy was away
	Left     int // their clients left

	// With Settings.Peers.
	Overloaded int           // were refused by two instances
	Foreign    time.Duration // slots times time that they counted as foreign

	All     Waits // of the requests that got a slot
	Settled Waits // of those that came after WarmUp

	ColdStarts   int
	WarmStarts   int
	Invoked      int
	Environments int // that existed at once, running and frozen, at most

	Bill      lambda.Bill
	GBSeconds float64
	Dollars   float64
	Bound     time.Duration // the least that is billed if nobody waits; lost requests are left out
	Least     optimum.Plan  // of serving the same requests at the same times, in hindsight, if they could move
	Packed    optimum.Plan  // the same if they stay: a schedule that exists
	Costs     optimum.Costs // of those two
	Work      time.Duration // slots times time in use
	Slots     int           // per instance
	Learned   int           // slots of an instance in the end

	QueueEmpty time.Duration // from the first wait until the queue was empty
	Emptied    int           // instances started until then

	Deployed Deployed

	Latency []time.Duration // sorted, from arrival to answer, of the requests that were served
	Series  []Sample
}

// Ratio returns what was billed over Bound.
func (r Result) Ratio() float64 { return r.Bill.Billed.Seconds() / r.Bound.Seconds() }

// Lost returns how many requests got no answer although their clients waited for one.
func (r Result) Lost() int { return r.Rejected + r.Evicted + r.Failed + r.Overloaded }

// whole returns what was billed, with the fees of invocations as time of an instance.
func (r Result) whole() float64 {
	return (r.Bill.Billed + time.Duration(r.Bill.Invocations)*r.Costs.Fee).Seconds()
}

// OverLeast returns what was billed over Least.
func (r Result) OverLeast() float64 { return r.whole() / r.Least.Billed.Seconds() }

// OverPacked returns what was billed over Packed.
func (r Result) OverPacked() float64 { return r.whole() / r.Packed.Billed.Seconds() }

// Utilization returns the share of the billed slots that was in use, 0 to 1.
func (r Result) Utilization() float64 {
	return r.Work.Seconds() / (r.Bill.Billed.Seconds() * float64(r.Slots))
}

// Waits are times in the queue. A request that found a free slot waited 0.
type Waits struct {
	Sorted []time.Duration
	Cold   int // waited for an instance in a new environment
}

// Quantile returns the wait that the share q of the requests did not exceed.
func (w Waits) Quantile(q float64) time.Duration { return Quantile(w.Sorted, q) }

// ColdShare returns the share of the requests that waited for a cold start.
func (w Waits) ColdShare() float64 {
	if len(w.Sorted) == 0 {
		return 0
	}
	return float64(w.Cold) / float64(len(w.Sorted))
}

// Quantile returns the smallest of sorted values that at least the share q of them does not exceed.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// A Sample is the state at a moment, with counts since the sample before.
type Sample struct {
	At       time.Duration
	Arrivals int // since the sample before
	InFlight int
	Waiting  int
	Starting int
	Ready    int
	Draining int
	Ideal    int // instances of the bound
}

// A meter takes notes during a run.
type meter struct {
	rejected, evicted, failed int
	left, overloaded, cut     int
	foreign                   time.Duration
	colds, warms              int
	all, settled              Waits
	latency                   []time.Duration
	work                      time.Duration
	levels                    []workload.Level // for samples
	level                     int
	every                     time.Duration
	due                       time.Duration
	arrived                   int
	series                    []Sample
	requests, leases          []workload.Request // that were answered; from their lease on
	load                      workload.Workload
	after                     time.Duration
	waitFrom                  time.Duration // when the first wait began; negative: not yet
	emptyAt                   time.Duration
	emptied                   int
	deployment                Deployed
}

func newMeter(load workload.Workload, s Settings) meter {
	m := meter{load: load, after: s.After, waitFrom: -1}
	m.all.Sorted = make([]time.Duration, 0, len(load.Requests))
	if s.Samples > 0 {
		m.every = load.Horizon/time.Duration(s.Samples) + 1
		m.levels = load.Levels()
	}
	return m
}

// pass is called before time moves to at. What it sees has not changed since the event before.
func (m *meter) pass(w *world, at time.Duration) {
	s := w.pool.Stats()
	m.work += time.Duration(s.InFlight) * (at - w.now)
	m.foreign += time.Duration(s.Foreign) * (at - w.now)
	switch {
	case s.Waiting > 0 && m.waitFrom < 0:
		m.waitFrom = w.now
	case s.Waiting == 0 && m.waitFrom >= 0 && m.emptyAt == 0:
		m.emptyAt, m.emptied = w.now, m.colds+m.warms
	}
	for ; m.every > 0 && m.due < min(at, w.load.Horizon); m.due += m.every {
		m.sample(w, s)
	}
}

func (m *meter) sample(w *world, s pool.Stats) {
	for m.level+1 < len(m.levels) && m.levels[m.level+1].From <= m.due {
		m.level++
	}
	c := w.settings.Pool.Concurrency
	m.series = append(m.series, Sample{
		At: m.due, Arrivals: w.next - m.arrived, InFlight: s.InFlight, Waiting: s.Waiting,
		Starting: s.Starting, Ready: s.Ready, Draining: s.Draining, Ideal: (m.levels[m.level].InFlight + c - 1) / c,
	})
	m.arrived = w.next
}

func (m *meter) started(cold bool) {
	if cold {
		m.colds++
	} else {
		m.warms++
	}
}

func (m *meter) leased(work workload.Request, waited time.Duration, cold bool) {
	m.all.add(waited, cold)
	if work.At >= WarmUp {
		m.settled.add(waited, cold)
	}
}

func (w *Waits) add(waited time.Duration, cold bool) {
	w.Sorted = append(w.Sorted, waited)
	if cold {
		w.Cold++
	}
}

// answered notes that a request was served between the two times.
func (m *meter) answered(work workload.Request, from, until time.Duration) {
	m.requests = append(m.requests, work)
	m.leases = append(m.leases, workload.Request{At: from, Service: max(0, until-from)})
	if work.At >= m.after {
		m.latency = append(m.latency, until-work.At)
	}
}

func (m *meter) result(s Settings, requests int, l *lambda.Lambda) Result {
	slices.Sort(m.all.Sorted)
	slices.Sort(m.settled.Sorted)
	slices.Sort(m.latency)
	bill := l.Bill
	r := Result{
		Requests: requests, Rejected: m.rejected, Evicted: m.evicted, Failed: m.failed, Cut: m.cut,
		Left: m.left, Overloaded: m.overloaded, Foreign: m.foreign,
		All: m.all, Settled: m.settled, Latency: m.latency,
		ColdStarts: m.colds, WarmStarts: m.warms, Invoked: bill.Invocations, Environments: l.Most,
		Bill: bill, GBSeconds: bill.GBSeconds(s.Lambda.MemoryMB), Dollars: bill.Dollars(s.Lambda.MemoryMB, s.Lambda.Prices),
		Work: m.work, Slots: s.Pool.Concurrency,
		QueueEmpty: max(0, m.emptyAt-max(0, m.waitFrom)), Emptied: m.emptied,
		Deployed: m.deployment.sorted(),
		Series:   m.series,
	}
	r.Bound = m.bound(cmp.Or(s.BoundSlots, s.Pool.Concurrency))
	r.inHindsight(s, m.leases)
	return r
}

// bound returns the bound for the requests that were answered, so that lost requests save no money.
func (m *meter) bound(concurrency int) time.Duration {
	if len(m.requests) == len(m.load.Requests) {
		return m.load.Bound(concurrency)
	}
	return workload.Of(m.load.Name, m.requests).Bound(concurrency)
}

// inHindsight fills in what the same leases could have cost.
func (r *Result) inHindsight(s Settings, leases []workload.Request) {
	p := s.Lambda.Preset
	r.Costs = optimum.Costs{Slots: cmp.Or(s.BoundSlots, s.Pool.Concurrency), Start: p.Dial.Mean() + p.Finish.Mean() + s.Lambda.Fee(), Fee: s.Lambda.Fee(), Init: r.Bill.LeastInit}
	r.Least = optimum.Least(leases, r.Costs)
	r.Packed = optimum.Packed(leases, r.Costs)
}

// with adds the pool's counts.
func (r Result) with(s pool.Stats) Result {
	r.Invoked, r.Learned = int(s.Started), s.Concurrency
	return r
}
