package dispatch

import (
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Functions implements admin.Source.
func (d *Dispatcher) Functions() []admin.FunctionStatus {
	out := make([]admin.FunctionStatus, 0, len(d.names))
	for _, name := range d.names {
		out = append(out, d.functions[name].status())
	}
	return out
}

// Instances implements admin.Source.
func (d *Dispatcher) Instances() []admin.InstanceStatus {
	out := []admin.InstanceStatus{}
	at := now()
	for _, name := range d.names {
		out = d.functions[name].appendInstances(out, at)
	}
	return out
}

func (f *function) status() admin.FunctionStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.pool.Stats()
	return admin.FunctionStatus{
		Name: f.name, Provider: f.config.Provider, Disabled: f.config.Disabled,
		QueueDepth: s.Waiting, QueueLimit: f.config.Queue.Limit,
		InFlight: s.InFlight, Capacity: s.Capacity, Free: s.Free,
		Starting: s.Starting, Ready: s.Ready, Draining: s.Draining, Down: s.Down,
		Blocked: blocked(s.Blocked), Starts: s.Started,
		StartFailures: failures(s.Failed), Ends: maps.Clone(f.ends),
		Requests: f.outcomes.requests(), QueueWait: f.outcomes.histogram(),
		BilledSeconds: f.usage.billed.Seconds(), GBSeconds: f.usage.gbSeconds,
	}
}

// blocked is the guard that withholds starts, or the cause that makes the breaker do so.
func blocked(b scaler.Block) string {
	if b.Reason == scaler.Backoff {
		return string(b.Cause)
	}
	return string(b.Reason)
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

func (o *outcomes) requests() []admin.RequestCount {
	out := []admin.RequestCount{{Outcome: string(admission.Dispatched), Count: o.served}}
	for r, n := range o.refusals {
		out = append(out, admin.RequestCount{Outcome: string(r.outcome), Cause: string(r.cause), Count: n})
	}
	return out
}

func (o *outcomes) histogram() admin.Histogram {
	return admin.Histogram{Bounds: waitBuckets[:], Counts: slices.Clone(o.waits[:]), Sum: o.waitSum}
}

func (f *function) appendInstances(out []admin.InstanceStatus, at time.Time) []admin.InstanceStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	for core := range f.pool.Instances() {
		i := core.Owner.(*instance)
		out = append(out, admin.InstanceStatus{
			ID: i.id, Function: f.name, State: core.State().String(), Endpoint: i.endpoint,
			InFlight: core.InFlight(), Reported: int(i.reported.Load()), Slots: core.Slots(),
			StartedAt: core.Started().UTC(), AgeSeconds: at.Sub(core.Started()).Seconds(),
			Environment: i.environment, DrainReason: string(core.DrainReason()),
		})
	}
	return out
}
