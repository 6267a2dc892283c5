package dispatch

import (
	"context"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// How the end of a dispatcher is watched. Both are small beside what is waited for.
const (
	retiresEvery = 20 * time.Millisecond
	servesEvery  = 2 * time.Millisecond
)

// Retire serves on, before Shutdown, until nothing has arrived for quiet and nobody waits, or until ctx ends. Nothing starts any
// more that no waiter needs.
func (d *Dispatcher) Retire(ctx context.Context, quiet time.Duration) {
	for _, f := range d.list() {
		f.do((*pool.Pool).Retire)
	}
	for d.wanted(quiet) && pause.For(ctx, retiresEvery) {
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

// Shutdown rejects what waits, drains every instance and returns when all that serve have ended or ctx has. Requests in flight
// finish meanwhile. An instance that was not up yet is not waited for: nobody else waits for it either, and it ends when it
// finds no relay. So do those that remain after ctx.
func (d *Dispatcher) Shutdown(ctx context.Context) {
	for _, f := range d.list() {
		f.close()
	}
	for d.serves() && pause.For(ctx, servesEvery) {
	}
	d.end()
}

// end ends all that the dispatcher does by itself, and returns when it has.
func (d *Dispatcher) end() {
	d.halt()
	d.background.Wait()
	d.invocations.Wait()
	for _, f := range d.list() {
		f.stopTimer()
	}
}

// serves tells whether an instance has requests in flight, a peer, or said goodbye and its invocation is about to end.
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
