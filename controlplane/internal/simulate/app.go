package simulate

import (
	"slices"
	"time"
)

// An App says what requests do on an instance. With the zero value they only wait for other systems, so any number of them run at once
// without slowing each other down.
type App struct {
	CPU   float64 // share of a request's service time that it computes; then it waits for the rest
	Cores float64 // of an instance; requests that compute share them evenly. 0: one
}

func (a App) cores() float64 {
	if a.Cores == 0 {
		return 1
	}
	return a.Cores
}

// begin starts the work of a request that has got its slot.
func (w *world) begin(r *request) {
	r.on = r.Instance().Owner.(*instance)
	r.began = w.now
	w.meter.deployment.leased(w, r)
	if w.settings.Peers.Way > 0 {
		w.depart(r)
		return
	}
	cpu := time.Duration(float64(r.takes()) * w.settings.App.CPU)
	if cpu == 0 {
		w.events.push(event{at: w.now + r.takes(), kind: done, request: r})
		return
	}
	p := &r.on.processor
	p.advance(w.now, w.settings.App.cores())
	r.cpuEnd = p.virtual + cpu.Seconds()
	p.insert(r)
	w.schedule(r.on)
}

// takes returns how long the request would take in its environment if that had nothing else to do.
func (r *request) takes() time.Duration {
	return time.Duration(float64(r.work.Service) * r.on.invocation.Environment.Times)
}

// schedule sets the event at which the next request leaves the processor. It replaces the one before.
func (w *world) schedule(i *instance) {
	i.version++
	if len(i.processor.jobs) == 0 {
		return
	}
	at := max(w.now, i.processor.leaves(w.settings.App.cores()))
	w.events.push(event{at: at, kind: processed, instance: i, version: i.version})
}

func (w *world) processed(e event) {
	i := e.instance
	if e.version != i.version {
		return
	}
	i.processor.advance(w.now, w.settings.App.cores())
	r := i.processor.jobs[0]
	i.processor.jobs = slices.Delete(i.processor.jobs, 0, 1)
	i.processor.virtual = max(i.processor.virtual, r.cpuEnd)
	w.schedule(i)
	rest := r.takes() - time.Duration(float64(r.takes())*w.settings.App.CPU)
	w.events.push(event{at: w.now + rest, kind: done, request: r})
}

// A processor is shared evenly by the jobs on it. Virtual time is the work, in seconds, that each of them has got. It passes more slowly the
// more jobs there are.
type processor struct {
	virtual float64 // seconds
	at      time.Duration
	jobs    []*request // by cpuEnd
}

func (p *processor) speed(cores float64) float64 {
	if n := float64(len(p.jobs)); n > cores {
		return cores / n
	}
	return 1
}

func (p *processor) advance(now time.Duration, cores float64) {
	p.virtual += (now - p.at).Seconds() * p.speed(cores)
	p.at = now
}

func (p *processor) insert(r *request) {
	k, _ := slices.BinarySearchFunc(p.jobs, r.cpuEnd, func(a *request, end float64) int {
		if a.cpuEnd <= end {
			return -1
		}
		return 1
	})
	p.jobs = slices.Insert(p.jobs, k, r)
}

// leaves returns when the first job is done if no other one comes.
func (p *processor) leaves(cores float64) time.Duration {
	left := (p.jobs[0].cpuEnd - p.virtual) / p.speed(cores)
	return p.at + time.Duration(left*float64(time.Second))
}
