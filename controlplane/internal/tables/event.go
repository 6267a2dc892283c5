package tables

import "github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"

// An Event is what a Mirror tells the leader of one relay. Those of an instance come in order, each once: Inherited or
// Expected; any number of Waiting; Up; any number of Load and Notice and at most one Draining; after Lost another Up or
// Waiting may follow; at last Down.
type Event interface{ event() }

// Inherited is an event: the relay has an instance that this leader did not start. The events that lead to where the
// instance stands follow at once, so that a leader may treat it like its own from here.
type Inherited struct{ Instance }

// Expected is an event: the relay lets the instance's peer in.
type Expected struct{ Instance string }

// Notice is an event: the peer found something about its app. The word may be one of a later build.
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
	Relay         bool // with its relay; else its peer is not heard
}

// Down is an event: the instance has ended, as far as its relay is concerned.
type Down struct {
	Instance string
	End      End
}

// Noted is an event: a note that a former leader left with the relay.
type Noted struct{ Note }

// Synced is an event: all that the relay had when it attached has been told.
type Synced struct{}

// Changed is an event: the relay says something else of itself than when it attached.
type Changed struct{ Hello }

// Superseded is an event: the relay has seen a higher term. This leader's is over.
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
