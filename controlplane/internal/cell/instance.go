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
	leaving   bool
	ended     bool
}

// invoke begins one.
func (w *world) invoke(id string, answer func(failed bool)) {
	if w.instances[id] != nil {
		w.broken("%s is invoked twice", id)
		return
	}
	i := &instance{world: w, id: id, answer: answer, without: w.now}
	w.instances[id] = i
	if !w.calm && w.chance(8) {
		w.after(w.between(50*time.Millisecond, time.Second), func() { i.end(true) })
		return
	}
	w.after(w.between(100*time.Millisecond, 2*time.Second), func() {
		i.without = w.now
		i.dial()
	})
	w.after(w.between(4*time.Second, 20*time.Second), i.drained) // its deadline
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
	if i.leaving || i.now.Sub(i.without) > patience {
		i.end(false)
		return
	}
	switch i.relay.dialled(i) {
	case letIn:
		i.connected = true
		i.report()
	case again:
		i.after(redial, i.dial)
	case refused:
		i.end(false)
	}
}

// report says now and then what is in flight.
func (i *instance) report() {
	if i.connected && !i.ended {
		i.relay.load(i.id, i.rng.IntN(10))
		i.after(i.between(100*time.Millisecond, 3*time.Second), i.report)
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
	i.after(i.between(10*time.Millisecond, time.Second), func() { i.end(false) })
}

// end is the end of the invocation.
func (i *instance) end(failed bool) {
	if i.ended {
		return
	}
	i.ended = true
	if i.connected && !i.relay.dead {
		i.relay.end(i.id, tables.End{Report: &wire.Report{Version: wire.Version, Instance: i.id, Reason: wire.ReasonScaleIn}})
	}
	i.connected = false
	i.after(i.between(time.Millisecond, 20*time.Millisecond), func() { i.answer(failed) })
}
