// Package tables keeps what a leader and a relay know about each other: the desired table, which the leader sends, and the
// observed table, which the relay sends. Two state machines keep them: the Keeper in the relay and, in the leader, one Mirror for
// each relay. Either process may end and begin anew at any moment, and the stream between them may break.
//
// Both machines are pure: no goroutine, lock, clock or log. Time is an argument. A message is pulled (Next) when the stream can
// take one, and holds what has changed since the last one. So what waits to be sent is bounded by the number of instances,
// however slow the stream is. Ages, expiries and times left are sent as durations, because clocks of hosts differ.
//
// The rules:
//   - A relay obeys the highest term that it has seen, and says so to leaders of older terms. If the lease's store loses its record, two
//     leaders may have the same term. The relay then obeys neither, and says to both that it has seen a higher term.
//   - An expectation is confirmed once the relay would let the instance's peer in.
//   - An end is repeated, also to the next leader, until a leader has acknowledged it.
//   - A relay forgets nothing by itself. A leader inherits the instances that it did not start, and decides about them.
package tables

import (
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Limits of tables and messages. A relay refuses expectations beyond MaxInstances. Ended instances count until a leader has
// acknowledged their end.
const (
	MaxInstances = 16_384
	MaxNotes     = 1024
	MaxNote      = 64 << 10 // bytes
	MaxMemo      = 1 << 10  // bytes
	MaxMessage   = 4 << 20  // bytes of one message in JSON

	maxItems = 256       // wants, instances or loads in one sent message
	maxBytes = 512 << 10 // of notes, or of texts of peers, in one sent message, unless it has only one
)

// A Desired is a message of a leader.
type Desired struct {
	Term     uint64 `json:"term"`
	Leader   string `json:"leader,omitempty"` // its process, which no other has; empty: a build that does not say
	Wants    []Want `json:"wants,omitempty"`
	Complete bool   `json:"complete,omitempty"` // all that the leader wanted when the stream began has been sent
	Ack      uint64 `json:"ack,omitempty"`      // acknowledges ends in messages up to this number
	Ping     uint64 `json:"ping,omitempty"`     // the relay answers with the same Pong
	Notes    []Note `json:"notes,omitempty"`
}

// A Want is all that the leader wants of one instance. Numbers rise within a stream.
type Want struct {
	Number   uint64       `json:"number"`
	Instance string       `json:"instance"`
	Expect   *Expectation `json:"expect,omitempty"`
	Drain    wire.Reason  `json:"drain,omitempty"` // tell its peer to finish
	Forget   bool         `json:"forget,omitempty"`
}

// An Expectation announces an instance before its peer dials.
type Expectation struct {
	Instance string  `json:"instance"`
	Function string  `json:"function"`
	Endpoint string  `json:"endpoint"`              // "web/0007"
	Expires  Micros  `json:"expires_us"`            // from now until it ends if its peer has not dialled
	StartBy  Micros  `json:"start_by_us,omitempty"` // from now until the start is given up; 0: never
	Dollars  float64 `json:"dollars,omitempty"`     // dollars per hour that it claims
	Memo     []byte  `json:"memo,omitempty"`        // for the next leader; at most MaxMemo
}

// A Note is a leader's note about a function for the next leader. The one with the higher term counts, then the one with the higher
// number.
type Note struct {
	Function string `json:"function"`
	Term     uint64 `json:"term"`
	Number   uint64 `json:"number"`
	Text     []byte `json:"text"`             // at most MaxNote
	Age      Micros `json:"age_us,omitempty"` // since it was written
}

// Newer tells whether n counts rather than other.
func (n Note) Newer(other Note) bool {
	return n.Term > other.Term || n.Term == other.Term && n.Number > other.Number
}

// An Observed is a message of a relay. The first one of a stream has only a Hello and the term. A later Hello replaces it.
type Observed struct {
	Hello     *Hello     `json:"hello,omitempty"`
	Term      uint64     `json:"term"`             // the highest that the relay has seen
	Number    uint64     `json:"number,omitempty"` // of this message; numbers rise as long as the relay's process lives
	Notes     []Note     `json:"notes,omitempty"`
	Instances []Instance `json:"instances,omitempty"` // that are new on this stream, or have changed
	Loads     []Load     `json:"loads,omitempty"`     // of instances of which nothing else has changed
	Complete  bool       `json:"complete,omitempty"`  // all that the relay had when the stream began has been sent
	Done      uint64     `json:"done,omitempty"`      // wants up to this number are carried out
	Refused   []string   `json:"refused,omitempty"`   // instances that are not expected, because the relay has as many as it may
	Acked     uint64     `json:"acked,omitempty"`     // the leader's latest Ack; ends up to it are not repeated
	Pong      uint64     `json:"pong,omitempty"`
}

// A Hello says which relay speaks.
type Hello struct {
	Relay    string        `json:"relay"`             // its name, the same after a restart
	Boot     string        `json:"boot"`              // unique to this process
	Dial     []wire.Relay  `json:"dial"`              // how peers dial it
	Sockets  string        `json:"sockets,omitempty"` // directory of the endpoints' sockets
	Build    string        `json:"build,omitempty"`
	Features wire.Features `json:"features,omitzero"`
}
