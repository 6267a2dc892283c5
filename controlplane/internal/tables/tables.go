// Package tables is what a leader and a relay hold of each other: the desired table, which the leader sends, and the
// observed table, which the relay sends. Two state machines keep them: the Keeper in the relay, and in the leader one
// Mirror for each relay. Either may end and begin anew at any moment, and the stream between them may break.
//
// Both machines are pure: no goroutine, lock, clock or log. Time is an argument. A message is pulled (Next) when the stream
// can take one, and holds what has changed since the last, so that what waits to be sent is bounded by the number of
// instances, however slow the stream is. Ages, expiries and time left travel as durations; no wall clock crosses a process.
//
// The rules:
//   - A relay obeys the highest term that it has seen, and says so to leaders of older ones.
//   - An expectation is confirmed once the relay would let the instance's peer in.
//   - An end is repeated, also to the next leader, until a leader has said that it has taken it in.
//   - A relay forgets nothing by itself. What a leader did not start it inherits, and decides on.
package tables

import (
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Limits of tables and messages. A relay refuses expectations beyond MaxInstances; ends that no leader has heard of yet
// count too.
const (
	MaxInstances = 16_384
	MaxNotes     = 1024
	MaxNote      = 64 << 10 // bytes
	MaxMemo      = 1 << 10  // bytes
	MaxMessage   = 4 << 20  // bytes of one message in JSON

	maxItems = 256       // wants, instances or loads in one message that is sent
	maxBytes = 512 << 10 // of notes, or of texts of peers, in one message that is sent, unless it is a single one
)

// A Desired is a message of a leader.
type Desired struct {
	Term     uint64 `json:"term"`
	Wants    []Want `json:"wants,omitempty"`
	Complete bool   `json:"complete,omitempty"` // all that the leader wanted when the stream began has been sent
	Ack      uint64 `json:"ack,omitempty"`      // ends in messages up to this number are taken in
	Ping     uint64 `json:"ping,omitempty"`     // to be answered by an Observed with the same number
	Notes    []Note `json:"notes,omitempty"`
}

// A Want is all that the leader wants of one instance. The numbers of a stream rise.
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
	Expires  Micros  `json:"expires_us"`            // from now; then it has ended, if its peer has not dialled
	StartBy  Micros  `json:"start_by_us,omitempty"` // from now until the start is given up; 0: never
	Dollars  float64 `json:"dollars,omitempty"`     // that it claims, an hour
	Memo     []byte  `json:"memo,omitempty"`        // for the next leader; at most MaxMemo
}

// A Note is what a leader writes down about a function for the next one. The one with the higher term, then the higher
// number, counts.
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

// An Observed is a message of a relay. The first of a stream has a Hello and nothing else but the term. A later Hello says
// what has changed.
type Observed struct {
	Hello     *Hello     `json:"hello,omitempty"`
	Term      uint64     `json:"term"`             // the highest that the relay has seen
	Number    uint64     `json:"number,omitempty"` // of this message; they rise for as long as the relay's process lives
	Notes     []Note     `json:"notes,omitempty"`
	Instances []Instance `json:"instances,omitempty"` // that are new to this stream, or have changed
	Loads     []Load     `json:"loads,omitempty"`     // of instances of which nothing else has changed
	Complete  bool       `json:"complete,omitempty"`  // all that stood when the stream began has been sent
	Done      uint64     `json:"done,omitempty"`      // wants up to this number are carried out
	Refused   []string   `json:"refused,omitempty"`   // instances that are not expected: the relay has as many as it may
	Acked     uint64     `json:"acked,omitempty"`     // the leader's latest Ack; ends up to it are not repeated
	Pong      uint64     `json:"pong,omitempty"`
}

// A Hello says which relay speaks.
type Hello struct {
	Relay    string        `json:"relay"`             // its name, the same after a restart
	Boot     string        `json:"boot"`              // of this process, which no other has
	Dial     []wire.Relay  `json:"dial"`              // what peers dial
	Sockets  string        `json:"sockets,omitempty"` // directory of the endpoints' sockets
	Build    string        `json:"build,omitempty"`
	Features wire.Features `json:"features,omitzero"`
}
