package tables

import "github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"

// An Event is what a Mirror tells the leader about one relay. Events of an instance come in order, each once: Inherited or
// Expected; any number of Waiting; Up; any number of Load and Notice, and at most one Draining. After Lost another Up or Waiting
// may follow. The last one is Down.
type Event interface{ event() }

// Inherited is an event: the relay has an instance that this leader did not start. The events that lead to its present state
// follow at once, so that the leader can treat it like its own.
type Inherited struct{ Instance }

// Expected is an event: the relay lets the instance's peer in.
type Expected struct{ Instance string }

// Notice is an event: the peer has noticed something about its app or environment. The word may be of a later build.
type Notice struct {
	Instance string
	Word     wire.Notice
}

// Draining is an event: the peer drains by its own decision.
type Draining struct {
	Instance string
	Reason   wire.Reason
}

// Lost is an event: the instance cannot be reached any more. It may come back.
type Lost struct {
	Instance, Why string
	Relay         bool // its relay is gone; otherwise only its peer is not heard
}

// Down is an event: the instance has ended, as far as its relay is concerned.
type Down struct {
	Instance string
	End      End
}

// Noted is an event: a note that a former leader left with the relay.
type Noted struct{ Note }

// Synced is an event: the relay has sent everything that it had when it attached.
type Synced struct{}

// Changed is an event: the relay's hello has changed since it attached.
type Changed struct{ Hello }

// Superseded is an event: the relay has seen a higher term, so this leader's term is over.
type Superseded struct{ Term uint64 }

func (Inherited) event()  {}
func (Expected) event()   {}
func (Waiting) event()    {}
func (Up) event()         {}
func (Load) event()       {}
func (Notice) event()     {}
func (Draining) event()   {}
func (Lost) event()       {}
func (Down) event()       {}
func (Noted) event()      {}
func (Synced) event()     {}
func (Changed) event()    {}
func (Superseded) event() {}
