package simulate

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
)

// A Deployment moves the function's alias to new code.
type Deployment struct {
	At     time.Duration
	Broken bool          // the new version's init fails
	Reads  bool          // the control plane may read the alias, and starts instances by the number of their version
	Every  time.Duration // the interval at which it reads; it learns of the deployment that long afterwards
}

// deployedVersion is the number of the new code.
const deployedVersion = "2"

// Deployed is the effect of a deployment on clients and on the bill.
type Deployed struct {
	Before, After []time.Duration // waits of requests in the minute before, and from then on; sorted
	Starts        int             // of the new version in a new environment, in the two minutes after it
	Need          int             // the most instances that were ready in the minute before
	OldServed     time.Duration   // after it, until the last request began on the old version
	OldGone       time.Duration   // after it, until the last instance of the old version ended
	Served        int             // requests that began on the new version
	BilledBefore  time.Duration   // in the minute before
	BilledAfter   time.Duration   // in the minute after
}

func (w *world) planDeployment() {
	d := w.settings.Deploy
	if d == nil {
		return
	}
	w.events.push(event{at: d.At, kind: deployed})
	if d.Reads {
		w.pool.Route(w.clock(), pool.Route{Version: lambda.FirstVersion}, w.settings.Pool.Rollout, false)
		w.events.push(event{at: d.At + d.Every, kind: read})
	}
}

func (w *world) deploy(k kind) {
	if k == deployed {
		w.lambda.Deploy(deployedVersion, w.settings.Deploy.Broken)
		return
	}
	w.carryOut(w.pool.Route(w.clock(), pool.Route{Version: deployedVersion}, w.settings.Pool.Rollout, false))
	if w.next < len(w.load.Requests) {
		w.events.push(event{at: w.now + w.settings.Deploy.Every, kind: read})
	}
}

// leased notes that a request has got its slot.
func (d *Deployed) leased(w *world, r *request) {
	plan := w.settings.Deploy
	if plan == nil {
		return
	}
	version := r.on.invocation.Environment.Version
	switch since := w.now - plan.At; {
	case version == deployedVersion:
		d.Served++
	case since >= 0:
		d.OldServed = since
	}
	switch since := r.work.At - plan.At; {
	case since >= 0:
		d.After = append(d.After, w.now-r.work.At)
	case since >= -time.Minute:
		d.Need = max(d.Need, w.pool.Stats().Ready)
		d.Before = append(d.Before, w.now-r.work.At)
	}
}

func (d *Deployed) started(w *world, i *instance) {
	plan := w.settings.Deploy
	if plan != nil && w.now < plan.At+2*time.Minute && i.invocation.Cold && i.invocation.Environment.Version == deployedVersion {
		d.Starts++
	}
}

// ended notes the end of an instance, and bills the part of its time that lies in the minutes around the deployment.
func (d *Deployed) ended(w *world, i *instance) {
	plan := w.settings.Deploy
	if plan == nil {
		return
	}
	from, to := i.invocation.BilledFrom, w.now
	within := func(a, b time.Duration) time.Duration { return max(0, min(to, b)-max(from, a)) }
	d.BilledBefore += within(plan.At-time.Minute, plan.At)
	d.BilledAfter += within(plan.At, plan.At+time.Minute)
	if i.invocation.Environment.Version != deployedVersion && w.now >= plan.At {
		d.OldGone = w.now - plan.At
	}
}

func (d *Deployed) sorted() Deployed {
	slices.Sort(d.Before)
	slices.Sort(d.After)
	return *d
}
