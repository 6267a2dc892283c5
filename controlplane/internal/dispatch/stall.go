package dispatch

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A process that is stopped or starved of CPU does not see time pass. When it continues, what it knows is old: a caretaker may have
// leased free slots, and Envoy may have ended streams. So a leader beats, and each step of a pool looks at the last beat first.
// After a late beat the pools decide nothing until Resume.

// Beat must be called every BeatEvery. One that is stallAfter late is a stall. That is shorter than the second after which Envoy
// asks a caretaker.
const (
	BeatEvery  = 50 * time.Millisecond
	stallAfter = 900 * time.Millisecond
)

// A beat is when the process was last seen running, and how often it had stalled until then.
type beat struct {
	at     time.Time
	stalls int
}

// Beat says that this process is running, and returns how often it has stalled.
func (d *Dispatcher) Beat() int {
	for {
		last := d.beat.Load() // first: a stall that is counted from here on must not be overwritten
		at := now()
		stalls := d.stalls(at)
		if d.beat.CompareAndSwap(last, &beat{at, stalls}) {
			return stalls
		}
	}
}

// stalls counts how often this process has stalled until at. It is 0 before the first Beat.
func (d *Dispatcher) stalls(at time.Time) int {
	for {
		last := d.beat.Load()
		switch {
		case last == nil:
			return 0
		case at.Sub(last.at) < stallAfter:
			return last.stalls
		case d.beat.CompareAndSwap(last, &beat{at, last.stalls + 1}):
			return last.stalls + 1
		}
	}
}

// Resume lets the pools decide again after the given number of stalls. The relays must have reported their instances before.
func (d *Dispatcher) Resume(stalls int) {
	for _, f := range d.list() {
		f.resume(stalls)
	}
}

func (f *function) resume(stalls int) {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		if f.stalls == stalls {
			return p.Resume(at)
		}
		return p.Tick(at) // it has stalled again
	})
}

// wake tells the pool if the process has stalled. It is called before every step of the pool that may lease, start or drain. The
// caller holds f.mu.
func (f *function) wake(at time.Time, todo *effects) {
	if stalls := f.d.stalls(at); stalls > f.stalls {
		f.stalls = stalls
		f.apply(at, f.pool.StoodStill(at), todo)
	}
}
