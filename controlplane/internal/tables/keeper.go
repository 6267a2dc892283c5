package tables

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Command is what a relay must do: Expect, Drain or Forget.
type Command interface{ command() }

// Expect is a command: let the instance's peer in.
type Expect struct{ Expectation }

// Drain is a command: tell the instance's peer to finish.
type Drain struct {
	Instance string
	Reason   wire.Reason
}

// Forget is a command: close everything that belongs to the instance.
type Forget struct{ Instance string }

func (Expect) command() {}
func (Drain) command()  {}
func (Forget) command() {}

// A Session numbers the streams of a relay: a later one has a higher number.
type Session uint64

// ErrReplaced says that there is a later stream to the leader.
var ErrReplaced = errors.New("the leader has another stream")

// A StaleError says that the relay has seen a higher term than the message's.
type StaleError struct{ Term, Seen uint64 }

func (e *StaleError) Error() string {
	return fmt.Sprintf("term %d is over: the relay has seen %d", e.Term, e.Seen)
}

// A Keeper is the relay's side. Its owner carries out the commands, and passes on the relay's events of each instance, before it
// makes another call.
type Keeper struct {
	hello   Hello
	term    uint64
	leader  string // of that term; empty: not known
	settled bool
	records map[string]*record
	notes   map[string]dated
	number  uint64 // of the last message
	acked   uint64

	remembers bool     // changes are to be written down
	unwritten []string // of instances, those; a name may be of one that is not kept any more

	// Of the stream to the leader.
	session  Session
	open     bool
	queue    []string // instances to send, each once
	snapshot int      // how many of queue are left of those that existed when the stream began
	complete bool     // Complete was sent
	noting   []string // functions whose notes must be sent
	ends     []sentEnd
	done     uint64
	refused  []string
	pong     uint64
	greet    bool // the hello has changed
	due      bool // something other than instances and notes must be sent
}

// A record is an instance with what is not sent.
type record struct {
	Instance
	expected, up, deadline, loaded time.Time
	startBy                        time.Time
	ended                          time.Time // zero: it has not
	expires                        time.Time // it has ended if its peer has not dialled by then
	forgotten                      bool
	unwritten                      bool
	queued, changed                bool // changed: more than its load has changed
}

// A dated is a note with the moment when it was written instead of its age.
type dated struct {
	Note
	at time.Time
}

func dateOf(now time.Time, n Note) dated { return dated{n, now.Add(-n.Age.Duration())} }

func (d dated) note(now time.Time) Note {
	d.Age = since(now, d.at)
	return d.Note
}

// takeNotes returns as many of the due notes as one message may hold, and which are left.
func takeNotes(now time.Time, all map[string]dated, due []string) (notes []Note, left []string) {
	size := 0
	for len(due) > 0 {
		n := all[due[0]].note(now)
		if size += len(n.Text); size > maxBytes && len(notes) > 0 {
			break
		}
		notes, due = append(notes, n), due[1:]
	}
	return notes, due
}

// A sentEnd is an instance whose end was sent in the message with that number.
type sentEnd struct {
	instance string
	number   uint64
}

// NewKeeper returns a Keeper that knows of no instance. term is the highest that the relay has seen, before it restarted too.
func NewKeeper(hello Hello, term uint64) *Keeper {
	return &Keeper{hello: hello, term: term, records: map[string]*record{}, notes: map[string]dated{}}
}

// Term is the highest term seen.
func (k *Keeper) Term() uint64 { return k.term }

// Settled tells whether the leader of the highest term has sent all that it wants. Until then it may still expect an instance
// that the relay does not know.
func (k *Keeper) Settled() bool { return k.settled }

// Attached tells whether there is a stream to the leader.
func (k *Keeper) Attached() bool { return k.open }

// Len is how many instances are kept, and how many of those have ended.
func (k *Keeper) Len() (all, ended int) {
	for _, r := range k.records {
		if r.End != nil {
			ended++
		}
	}
	return len(k.records), ended
}

// InFlight is how many requests are in flight on instances that are up, as their peers count them.
func (k *Keeper) InFlight() (n int) {
	for _, r := range k.records {
		if r.Phase == PhaseUp && r.Load != nil {
			n += r.Load.InFlight
		}
	}
	return n
}

// Notes is how many notes are kept.
func (k *Keeper) Notes() int { return len(k.notes) }

// Greeting is the first message of every stream.
func (k *Keeper) Greeting() Observed {
	hello := k.hello
	return Observed{Hello: &hello, Term: k.term}
}

// Dial changes which addresses peers must dial.
func (k *Keeper) Dial(relays []wire.Relay) {
	k.hello.Dial = relays
	k.greet = true
}

// Receive handles a message of a leader on that stream. The error is a *StaleError or ErrReplaced. After it the stream is useless.
func (k *Keeper) Receive(now time.Time, s Session, d Desired) ([]Command, error) {
	if err := k.admit(s, d.Term, d.Leader); err != nil {
		return nil, err
	}
	var commands []Command
	for _, w := range d.Wants {
		commands = append(commands, k.want(now, w)...)
		k.done, k.due = max(k.done, w.Number), true
	}
	k.settled = k.settled || d.Complete
	for _, n := range d.Notes {
		k.keep(dateOf(now, n))
	}
	k.taken(d.Ack)
	if d.Ping > 0 {
		k.pong, k.due = d.Ping, true
	}
	return commands, nil
}

// admit checks whether to obey messages of this stream, and begins a new one.
func (k *Keeper) admit(s Session, term uint64, leader string) error {
	if term == k.term && leader != "" && k.leader != "" && leader != k.leader {
		k.term, k.leader, k.settled, k.open = term+1, "", false, false
	}
	switch {
	case term < k.term:
		return &StaleError{Term: term, Seen: k.term}
	case term > k.term:
		k.term, k.leader, k.settled = term, leader, false
		k.begin(s)
	case s < k.session:
		return ErrReplaced
	case s > k.session || !k.open:
		k.begin(s)
	}
	k.leader = cmp.Or(leader, k.leader)
	return nil
}

// begin queues everything for a new stream.
func (k *Keeper) begin(s Session) {
	k.session, k.open, k.complete = s, true, false
	k.ends, k.refused, k.done, k.pong, k.greet = nil, nil, 0, 0, false
	k.queue = slices.SortedFunc(maps.Keys(k.records), k.order)
	for _, r := range k.records {
		r.queued, r.changed = true, true
	}
	k.snapshot = len(k.queue)
	k.noting = slices.Sorted(maps.Keys(k.notes))
	k.due = true
}

// order is the order of a snapshot. Ended instances come first, because their endpoints may belong to others by now.
func (k *Keeper) order(a, b string) int {
	endedA, endedB := k.records[a].End != nil, k.records[b].End != nil
	switch {
	case endedA == endedB:
		return cmp.Compare(a, b)
	case endedA:
		return -1
	default:
		return 1
	}
}

// Close says that the stream is gone.
func (k *Keeper) Close(s Session) {
	if s == k.session {
		k.open = false
	}
}

// want returns the commands for what a leader wants of one instance. A want that is done already, or comes too late, needs none.
func (k *Keeper) want(now time.Time, w Want) (commands []Command) {
	r := k.records[w.Instance]
	if w.Expect != nil && r == nil {
		if len(k.records) >= MaxInstances {
			k.refused = append(k.refused, w.Instance)
			return nil
		}
		r = newRecord(now, *w.Expect)
		k.records[w.Instance] = r
		k.write(r)
		commands = append(commands, Expect{*w.Expect})
	}
	if r == nil || r.End != nil {
		return commands
	}
	if w.Expect != nil {
		r.Dollars, r.Memo = w.Expect.Dollars, w.Expect.Memo
		k.write(r)
	}
	if w.Drain != "" && r.Drain == "" {
		r.Drain = w.Drain
		k.write(r)
		commands = append(commands, Drain{w.Instance, w.Drain})
	}
	if w.Forget && !r.forgotten {
		r.forgotten = true
		commands = append(commands, Forget{w.Instance})
	}
	return commands
}

func newRecord(now time.Time, e Expectation) *record {
	return &record{
		Instance: Instance{
			ID: e.Instance, Function: e.Function, Endpoint: e.Endpoint, Dollars: e.Dollars, Memo: e.Memo, Phase: PhaseExpected,
		},
		expected: now, startBy: from(now, e.StartBy), expires: from(now, e.Expires),
	}
}

// keep keeps a note if it is newer than the one of its function.
func (k *Keeper) keep(n dated) {
	old, known := k.notes[n.Function]
	if known && n.Newer(old.Note) || !known && len(k.notes) < MaxNotes {
		k.notes[n.Function] = n
	}
}

// taken forgets instances whose end the leader has taken in.
func (k *Keeper) taken(ack uint64) {
	k.acked = max(k.acked, ack)
	for len(k.ends) > 0 && k.ends[0].number <= ack {
		k.drop(k.ends[0].instance)
		k.ends = k.ends[1:]
	}
}

// drop keeps nothing of an instance any more.
func (k *Keeper) drop(id string) {
	if r := k.records[id]; r != nil {
		k.write(r)
		delete(k.records, id)
	}
}
