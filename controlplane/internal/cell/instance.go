package cell

import (
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
	id          string
	answer      func(failed bool) // of the invocation; to whoever made it, if that one lives
	environment *environment
	cold        bool
	connected   bool
	at          int       // incarnation of the relay
	heard       time.Time // when that one hears what was said last
	without     time.Time // since when it has no relay
	deadline    time.Time
	inFlight    int
	reporting   bool
	leaving     bool
	stray       bool      // it may be that nobody knows of it
	strayed     time.Time // when that began
	ended       bool
}

// astray bounds how long it may run though nobody may know of it: until its init is over, and it has looked for a relay in vain.
func (i *instance) astray() {
	if i.connected || i.stray {
		return
	}
	since := i.now
	i.stray, i.strayed = true, since
	i.after(slowest+patience+2*redial, func() {
		if i.stray && i.strayed.Equal(since) && !i.ended {
			i.broken("%s runs on, and nobody knows of it", i.id)
		}
	})
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
		i.connected, i.stray = true, false
		i.at, i.heard = i.relay.life, i.now
		if i.leaving {
			i.tell(func() { i.relay.draining(i.id) })
		}
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
		n, sampled := i.inFlight, i.now
		i.tell(func() { i.relay.load(i.id, n, i.now.Sub(sampled)) })
	}
}

// tell lets the relay hear something, in order, if its process still lives then.
func (i *instance) tell(what func()) {
	i.heard = later(i.heard, i.now.Add(i.between(20*time.Microsecond, sampled)))
	i.relay.when(i.heard, i.at, what)
}

// disconnected follows the loss of the relay.
func (i *instance) disconnected() {
	if i.connected {
		i.connected, i.without = false, i.now
		i.after(redial, i.dial)
	}
}

// cut is a network that fails between peer and relay.
func (i *instance) cut() {
	if i.connected {
		i.tell(func() { i.relay.lost(i.id) })
		i.disconnected()
	}
}

// drained lets it finish and say goodbye.
func (i *instance) drained() {
	if i.leaving || i.ended {
		return
	}
	i.leaving = true
	if i.connected {
		i.tell(func() { i.relay.draining(i.id) })
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
	i.running = slices.DeleteFunc(i.running, func(other *instance) bool { return other == i })
	if i.connected && failed {
		i.tell(func() { i.relay.lost(i.id) })
	} else if i.connected {
		i.tell(func() {
			i.relay.end(i.id, tables.End{Report: &wire.Report{Version: wire.Version, Instance: i.id, Reason: wire.ReasonScaleIn}})
		})
	}
	i.connected = false
	if !failed {
		i.freeze(i.environment)
	}
	i.after(i.between(time.Millisecond, 20*time.Millisecond), func() { i.answer(failed) })
}
