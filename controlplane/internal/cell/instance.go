package cell

import (
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Times of instances.
const (
	redial   = 200 * time.Millisecond
	patience = 4 * time.Second // without a relay
)

// An instance is an invocation that runs in Lambda, with its peer.
type instance struct {
	*world
	id        string
	answer    func(failed bool) // of the invocation; to whoever made it, if that one lives
	connected bool
	without   time.Time // since when it has no relay
	deadline  time.Time
	inFlight  int
	reporting bool
	stray     bool // its relay has died: if its leader dies too, nobody knows of it
	leaving   bool
	ended     bool
}

// invoke begins one.
func (w *world) invoke(id string, answer func(failed bool)) {
	if w.instances[id] != nil {
		w.broken("%s is invoked twice", id)
		return
	}
	i := &instance{world: w, id: id, answer: answer, without: w.now, deadline: w.now.Add(lifetime)}
	w.instances[id] = i
	if n := w.running(); n > most {
		w.broken("%d instances run, and the ceiling allows for %d", n, most)
	}
	if !w.calm && w.chance(8) {
		w.after(w.between(50*time.Millisecond, time.Second), func() { i.end(true) })
		return
	}
	w.after(w.between(100*time.Millisecond, 2*time.Second), func() {
		i.without = w.now
		i.dial()
	})
	w.at(i.deadline.Add(-time.Second), i.drained)
	w.at(i.deadline, func() { i.end(true) })
}

// running is how many invocations go on that somebody should know of.
func (w *world) running() (n int) {
	for _, i := range w.instances {
		if !i.ended && !i.stray {
			n++
		}
	}
	return n
}

// sorted are those that run, in the order of their ids.
func (w *world) sorted() (out []*instance) {
	for _, id := range slices.Sorted(maps.Keys(w.instances)) {
		if i := w.instances[id]; !i.ended {
			out = append(out, i)
		}
	}
	return out
}

// dial tries to reach the relay, again and again.
func (i *instance) dial() {
	if i.ended || i.connected {
		return
	}
	if i.leaving && i.inFlight == 0 || i.now.Sub(i.without) > patience {
		i.end(false)
		return
	}
	switch i.relay.dialled(i) {
	case letIn:
		i.connected = true
		i.report()
	case notNow:
		i.after(redial, i.dial)
	case turnedAway:
		i.end(false)
	}
}

// count follows requests that begin and end, and says so soon.
func (i *instance) count(n int) {
	i.inFlight += n
	if !i.reporting {
		i.reporting = true
		i.after(sampled, i.report)
	}
	i.finish()
}

// report says what is in flight.
func (i *instance) report() {
	i.reporting = false
	if i.connected && !i.ended {
		i.relay.load(i.id, i.inFlight)
	}
}

// disconnected follows the loss of the relay.
func (i *instance) disconnected() {
	if i.connected {
		i.connected, i.without = false, i.now
		i.after(redial, i.dial)
	}
}

// broken is a network that fails between peer and relay.
func (i *instance) cut() {
	i.relay.lost(i.id)
	i.disconnected()
}

// drained lets it finish and say goodbye.
func (i *instance) drained() {
	if i.leaving || i.ended {
		return
	}
	i.leaving = true
	if i.connected {
		i.relay.keeper.Draining(i.id, wire.ReasonDeadline)
	}
	i.finish()
}

// finish ends an instance that drains, when nothing is in flight on it.
func (i *instance) finish() {
	if i.leaving && i.inFlight == 0 {
		i.after(i.between(time.Millisecond, 20*time.Millisecond), func() {
			if i.inFlight == 0 {
				i.end(false)
			}
		})
	}
}

// end is the end of the invocation.
func (i *instance) end(failed bool) {
	if i.ended {
		return
	}
	i.ended = true
	if i.connected && !i.relay.dead && failed {
		i.relay.lost(i.id)
	} else if i.connected && !i.relay.dead {
		i.relay.end(i.id, tables.End{Report: &wire.Report{Version: wire.Version, Instance: i.id, Reason: wire.ReasonScaleIn}})
	}
	i.connected = false
	i.after(i.between(time.Millisecond, 20*time.Millisecond), func() { i.answer(failed) })
}
