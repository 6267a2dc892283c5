package dispatch

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A process that stands still, stopped or starved, does not see time pass, and what it knows when it goes on is old: a caretaker may have
// leased what was free, and Envoy may have ended streams. So it beats while it leads, and before each step looks for the last beat.
// From a late one on the pools decide nothing until Resume.

// BeatEvery is how often Beat is to be called, and stillFor how late it must be. Envoy turns to a caretaker after a second.
const (
	BeatEvery = 50 * time.Millisecond
	stillFor  = 900 * time.Millisecond
)

// A beat is when the process was last seen to go on, and how often it has stood still before.
type beat struct {
	at     time.Time
	stalls int
}

// Beat says that this process goes on, and returns how often it has stood still.
func (d *Dispatcher) Beat() int {
	for {
		at := now()
		stalls, last := d.stalls(at), d.beat.Load()
		if d.beat.CompareAndSwap(last, &beat{at, stalls}) {
			return stalls
		}
	}
}

// stalls is how often this process has stood still. Before the first Beat nobody knows.
func (d *Dispatcher) stalls(at time.Time) int {
	for {
		last := d.beat.Load()
		switch {
		case last == nil:
			return 0
		case at.Sub(last.at) < stillFor:
			return last.stalls
		case d.beat.CompareAndSwap(last, &beat{at, last.stalls + 1}):
			return last.stalls + 1
		}
	}
}

// Resume lets the pools decide again after so many stalls: the relays have told what there is.
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
		return p.Tick(at) // it has stood still again
	})
}

// wake comes before every step of the pool that may lease, start or drain: it finds out whether the process has stood still. The caller
// holds f.mu.
func (f *function) wake(at time.Time, todo *effects) {
	if stalls := f.d.stalls(at); stalls > f.stalls {
		f.stalls = stalls
		f.apply(at, f.pool.StoodStill(at), todo)
	}
}
