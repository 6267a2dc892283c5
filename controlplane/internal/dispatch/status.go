package dispatch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Functions implements admin.Source.
func (d *Dispatcher) Functions() []operator.Function {
	all := d.list()
	out := make([]operator.Function, 0, len(all))
	for _, f := range all {
		out = append(out, f.status())
	}
	return out
}

// Instances implements admin.Source.
func (d *Dispatcher) Instances() []operator.Instance {
	out := []operator.Instance{}
	at := now()
	for _, f := range d.list() {
		out = f.appendInstances(out, at)
	}
	return out
}

func (f *function) status() operator.Function {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, at := f.pool.Stats(), now()
	return operator.Function{
		Name: f.name, Provider: f.settings().config.Provider, Disabled: f.settings().config.Disabled, Leaving: f.settings().leaving,
		QueueDepth: s.Waiting, QueueLimit: f.settings().config.Queue.Limit,
		InFlight: s.InFlight, Capacity: s.Capacity, Free: s.Free, Foreign: s.Foreign, Returned: s.Returned,
		Concurrency: s.Concurrency, Learned: f.settings().plan.settings.Learn,
		Starting: s.Starting, Ready: s.Ready, Draining: s.Draining, Down: s.Down, Frozen: s.Frozen,
		Blocked: blocked(s.Blocked), Warnings: f.warnings(), BlockedDetail: sentences(f.whyBlocked(at, s.Blocked), f.startsWait(at)), Starts: s.Started, Inherited: s.Inherited,
		Versions: f.readyByVersion(), Rollout: f.rolloutStatus(), Rollouts: f.rolloutsEnded(),
		StartFailures: failures(s.Failed), Ends: maps.Clone(f.ends), Worn: maps.Clone(f.worn), Killers: f.killers(at),
		Requests: f.outcomes.requests(), QueueWait: f.outcomes.histogram(),
		Bill: f.billed(f.bill.Statement(at)), Own: f.billed(f.bill.Own(at)),
	}
}

// sentences joins the ones that are not empty.
func sentences(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "; ")
}

// blocked is the guard that holds starts back, or the cause of failures for which the breaker does.
func blocked(b scaler.Block) string {
	if b.Reason == scaler.Backoff {
		return string(b.Cause)
	}
	return string(b.Reason)
}

// whyBlocked says in a sentence what holds starts back. The caller holds f.mu.
func (f *function) whyBlocked(at time.Time, b scaler.Block) string {
	s := f.settings().config.Scaling
	switch b.Reason {
	case scaler.AtMax:
		return fmt.Sprintf("scaling.max is %d instances", s.Max)
	case scaler.NoPlace:
		return fmt.Sprintf("scaling.max_environments is %d", s.MaxEnvironments)
	case scaler.InProgress:
		return fmt.Sprintf("scaling.starts_in_progress is %d", s.StartsInProgress)
	case scaler.Rate:
		return fmt.Sprintf("scaling.starts_per_second is %v, after a burst of %d", s.StartsPerSecond, s.StartsBurst)
	case scaler.Dollars:
		return fmt.Sprintf("scaling.dollars_per_hour is %v, and one instance costs %.4f", s.DollarsPerHour, f.settings().plan.rates.PerHour(f.priced))
	case scaler.DollarsTotal:
		return fmt.Sprintf("budget.dollars_per_hour leaves too little: %.4f is taken, and one instance costs %.4f",
			f.d.budget.PerHour(at), f.settings().plan.rates.PerHour(f.priced))
	case scaler.AtAccount:
		return "accounts[].instances leaves no room: the functions of this account and region have as many together"
	case scaler.Unreachable:
		return "no Envoy is connected: nothing is started until one is, or until a request waits"
	case scaler.Relayless:
		return "no relay is attached: an instance could not come up"
	case scaler.Never:
		if f.settings().closed != "" {
			return "the function is disabled, or not configured any more"
		}
		return "peers of this function register by themselves, and too few are there"
	case scaler.Backoff:
		return backoffDetail(at, b) + f.said.because(b.Cause)
	}
	return ""
}

func backoffDetail(at time.Time, b scaler.Block) string {
	if left := b.Until.Sub(at); left > 0 {
		return fmt.Sprintf("starts fail: %s; the next one may be tried in %s", b.Cause, left.Round(100*time.Millisecond))
	}
	return fmt.Sprintf("starts fail: %s; the next one is tried when it is wanted", b.Cause)
}

// blockedBy tells whether one of these guards holds starts back.
func (f *function) blockedBy(reasons ...scaler.Reason) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(reasons, f.pool.Stats().Blocked.Reason)
}

// billed is empty for a function whose peers register by themselves, because Lambda does not bill them. The caller holds f.mu.
func (f *function) billed(s bill.Statement) operator.Bill {
	if f.settings().provider == nil {
		return operator.Bill{}
	}
	return operator.Bill{
		MemoryMB: s.MemoryMB, Invocations: s.Invocations, Estimated: s.Estimated,
		BilledSeconds: s.Billed, BilledGBSeconds: s.GBSeconds,
		Running: s.Running, GBSeconds: s.GBSeconds + s.RunningGBSeconds,
		Dollars: s.Dollars, DollarsPerHour: s.DollarsPerHour,
		Plain: operator.PlainBill{
			Requests: s.Plain.Requests, ColdStarts: s.Plain.ColdStarts,
			BilledSeconds: s.Plain.Duration + s.Plain.Init, GBSeconds: s.Plain.GBSeconds, Dollars: s.Plain.Dollars,
		},
		SavedDollars: s.Saved(),
	}
}

func failures(f pool.Failures) map[string]uint64 {
	out := map[string]uint64{}
	for cause, n := range f.All() {
		if n > 0 {
			out[string(cause)] = n
		}
	}
	return out
}

func (o *outcomes) requests() []operator.RequestCount {
	out := []operator.RequestCount{{Outcome: string(admission.Dispatched), Count: o.served}}
	for r, n := range o.refusals {
		out = append(out, operator.RequestCount{Outcome: string(r.outcome), Cause: string(r.cause), Count: n})
	}
	return out
}

func (o *outcomes) histogram() operator.Histogram {
	return operator.Histogram{Bounds: waitBuckets[:], Counts: slices.Clone(o.waits[:]), Sum: o.waitSum}
}

func words(features wire.Features) []string {
	out := make([]string, 0, len(features))
	for _, f := range features {
		out = append(out, string(f))
	}
	return out
}

func (f *function) appendInstances(out []operator.Instance, at time.Time) []operator.Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	for core := range f.pool.Instances() {
		i := core.Owner.(*instance)
		out = append(out, operator.Instance{
			ID: i.id, Function: f.name, State: core.State().String(), Endpoint: i.endpoint,
			InFlight: core.InFlight(), Reported: i.reported, Foreign: core.Foreign(), Slots: core.Slots(),
			StartedAt: core.Started().UTC(), AgeSeconds: at.Sub(core.Started()).Seconds(),
			Environment: i.environment, WaitsFor: f.waitsFor(i, at), Build: i.peer.Build, Features: words(i.peer.Features), FunctionVersion: i.peer.FunctionVersion,
			Lacks:     f.lacks(i),
			RequestID: i.peer.RequestID, LogStream: i.peer.LogStream,
			DrainReason: string(core.DrainReason()), MemoryBytes: i.memory, Worn: wornBy(i.worn),
		})
	}
	return out
}
