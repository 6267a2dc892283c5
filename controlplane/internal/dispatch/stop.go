package dispatch

import (
	"context"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// How often Retire and Shutdown look whether they can return.
const (
	retireEvery   = 20 * time.Millisecond
	shutdownEvery = 2 * time.Millisecond
)

// Retire goes before Shutdown. It keeps serving until no request waits and none has arrived for the quiet time, or until ctx ends.
// From now on instances start only for waiters.
func (d *Dispatcher) Retire(ctx context.Context, quiet time.Duration) {
	for _, f := range d.list() {
		f.do((*pool.Pool).Retire)
	}
	for d.wanted(quiet) && pause.For(ctx, retireEvery) {
	}
}

// wanted tells whether a request waits, or has arrived within the time.
func (d *Dispatcher) wanted(within time.Duration) bool {
	for _, f := range d.list() {
		if f.wanted(within) {
			return true
		}
	}
	return false
}

func (f *function) wanted(within time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pool.Stats().Waiting > 0 || !f.arrived.IsZero() && now().Sub(f.arrived) < within
}

// Shutdown rejects queued requests, drains every instance, and returns when those that serve have ended, or ctx has. Requests in
// flight finish meanwhile. Shutdown does not wait for an instance that is not up yet: no request needs it, and it ends when it
// finds no relay. So do the instances that remain when ctx ends.
func (d *Dispatcher) Shutdown(ctx context.Context) {
	for _, f := range d.list() {
		f.close()
	}
	for d.serves() && pause.For(ctx, shutdownEvery) {
	}
	d.end()
}

// end stops background work, timers and Invoke calls, and returns when they have ended. The calls come last: until its timer is stopped
// a pool may start another instance.
func (d *Dispatcher) end() {
	d.halt()
	d.background.Wait()
	for _, f := range d.list() {
		f.stopTimer()
	}
	d.invocations.Wait()
}

// serves tells whether an instance has requests in flight, has a peer, or has said goodbye and its invocation is about to end.
func (d *Dispatcher) serves() bool {
	for _, f := range d.list() {
		if f.serves() {
			return true
		}
	}
	return false
}

func (f *function) serves() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for core := range f.pool.Instances() {
		if i := core.Owner.(*instance); i.isUp || core.InFlight() > 0 || i.goodbye != nil && !i.ended {
			return true
		}
	}
	return false
}

// DrainLimit is the longest time that an instance of any function may take to drain when the control plane stops.
func (d *Dispatcher) DrainLimit() time.Duration {
	var limit time.Duration
	for _, f := range d.list() {
		limit = max(limit, f.settings().plan.settings.DrainTimeout)
	}
	return limit
}

// spawn runs work in the background, unless the dispatcher is stopping.
func (d *Dispatcher) spawn(work func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop.Err() == nil {
		d.background.Go(work)
	}
}

// halt cancels background work and Invoke calls. spawn does nothing afterwards.
func (d *Dispatcher) halt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut()
}
