package tables

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Redial is how long a relay that has restarted waits for the peer of an instance that was up before.
const Redial = 10 * time.Second

// A Mirror is the leader's side of one relay, for one term.
type Mirror struct {
	term      uint64
	leader    string
	hello     Hello
	instances map[string]*mirrored
	ended     map[string]uint64 // instances whose end was received, with the message's number, until the relay knows that
	notes     map[string]dated  // this leader's latest note of each function
	over      bool              // the relay has seen a higher term

	// Of the stream.
	attached bool
	synced   bool
	queue    []string // instances with wants to send
	number   uint64   // of the last want
	sent     []sentWant
	complete bool     // Complete was sent
	noting   []string // functions whose notes must be sent
	heard    uint64   // number of the last message with an end
	ack      uint64
	due      bool // something other than wants and notes must be sent
	ping     ping
}

// A mirrored is what the leader knows about an instance, and what it wants.
type mirrored struct {
	Instance
	expires, startBy time.Time
	expect           bool // the expectation must be sent
	confirmed        bool // the relay expects it
	drain            wire.Reason
	forget           bool
	queued           bool
	seen             bool // on this stream
	past             bool // what is known is of the relay's process before
}

// unrepeated is in place of the message's number for an end that the relay's process before has told.
const unrepeated = math.MaxUint64

// A sentWant is an instance whose expectation was sent under that number.
type sentWant struct {
	instance string
	number   uint64
}

// A ping shows the leader that the relay has heard it lately.
type ping struct {
	number    uint64
	sent      time.Time // when the last ping was sent; zero: none is unanswered
	due       bool
	confirmed time.Time
}

// NewMirror returns the Mirror of a relay that has not attached yet. leader names this process, as no other.
func NewMirror(term uint64, leader string) *Mirror {
	return &Mirror{term: term, leader: leader, instances: map[string]*mirrored{}, ended: map[string]uint64{}, notes: map[string]dated{}}
}

// Hello is the relay's last hello.
func (m *Mirror) Hello() Hello { return m.hello }

// Attached tells whether there is a stream of the relay.
func (m *Mirror) Attached() bool { return m.attached }

// Synced tells whether the relay is attached and has sent everything that it had when it attached.
func (m *Mirror) Synced() bool { return m.attached && m.synced }

// Confirmed is the latest moment at which the relay is known to have seen no higher term; zero: there is none.
func (m *Mirror) Confirmed() time.Time { return m.ping.confirmed }

// Attach begins a stream with the relay's first message. It replaces an earlier stream.
func (m *Mirror) Attach(greeting Observed) []Event {
	if greeting.Hello == nil || m.superseded(greeting.Term) {
		return m.supersede(greeting.Term)
	}
	if greeting.Hello.Boot != m.hello.Boot {
		m.reborn()
	}
	m.hello = *greeting.Hello
	m.attached, m.synced, m.complete, m.due = true, false, false, true
	m.queue, m.sent, m.heard, m.ack, m.ping.due = nil, nil, 0, 0, true
	for _, i := range m.instances {
		i.queued, i.seen, i.Load = false, false, nil // loads are sent again, because leases may have ended unnoticed
	}
	m.noting = slices.Sorted(maps.Keys(m.notes))
	return nil
}

// reborn follows the end of the relay's process: what is known is of that one until the next has told.
func (m *Mirror) reborn() {
	for id := range m.ended {
		m.ended[id] = unrepeated
	}
	for _, i := range m.instances {
		i.past = true
	}
}

// Detach says that the stream is gone. It may have ended with its relay, whose sockets nobody serves then: what was up is lost
// until the relay attaches and says that it still is.
func (m *Mirror) Detach(ended bool) (events []Event) {
	m.attached = false
	m.ping.sent = time.Time{}
	if !ended {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(m.instances)) {
		if i := m.instances[id]; i.Phase == PhaseUp {
			i.Phase = PhaseLost
			events = append(events, Lost{id, "its relay is not heard any more", true})
		}
	}
	return events
}

// Serves tells whether the relay has the peer of an instance, as far as is known.
func (m *Mirror) Serves(id string) bool {
	i := m.instances[id]
	return i != nil && (i.Phase == PhaseUp || i.Phase == PhaseWaiting)
}

// Replace says that the relay is gone for good, and that others are there: what its peers served, and others do not have, has ended.
func (m *Mirror) Replace(others func(instance string) bool) (events []Event) {
	for _, id := range slices.Sorted(maps.Keys(m.instances)) {
		if i := m.instances[id]; (i.Ups > 0 || i.Waits > 0) && !others(id) {
			delete(m.instances, id)
			m.ended[id] = unrepeated
			events = append(events, Down{id, End{Cause: EndReplaced}})
		}
	}
	return events
}

// Expect makes the relay let the instance's peer in. Expected or Down follows.
func (m *Mirror) Expect(now time.Time, e Expectation) {
	if m.instances[e.Instance] != nil {
		return
	}
	i := &mirrored{
		Instance: Instance{
			ID: e.Instance, Function: e.Function, Endpoint: e.Endpoint, Dollars: e.Dollars, Memo: e.Memo, Phase: PhaseExpected,
		},
		expires: from(now, e.Expires), startBy: from(now, e.StartBy), expect: true,
	}
	m.instances[e.Instance] = i
	m.enqueue(i)
}

// Drain makes the relay tell the instance's peer to finish.
func (m *Mirror) Drain(instance string, reason wire.Reason) {
	if i := m.instances[instance]; i != nil && i.drain == "" {
		i.drain = reason
		m.enqueue(i)
	}
}

// Forget makes the relay close everything that belongs to the instance. Down follows.
func (m *Mirror) Forget(instance string) {
	if i := m.instances[instance]; i != nil && !i.forget {
		i.forget = true
		m.enqueue(i)
	}
}

// Note leaves a note with the relay, which replaces the function's last one. Its age counts from now.
func (m *Mirror) Note(now time.Time, n Note) {
	m.notes[n.Function] = dateOf(now, n)
	if m.attached && !slices.Contains(m.noting, n.Function) {
		m.noting = append(m.noting, n.Function)
	}
}

// Taken says that the leader has handled the events of all messages so far, so that the relay need not repeat ends.
func (m *Mirror) Taken() {
	if m.heard > m.ack {
		m.ack, m.due = m.heard, true
	}
}

// Ping asks the relay for a sign of life. Confirmed moves on when it answers.
func (m *Mirror) Ping() { m.ping.due = true }

// enqueue queues an instance's want. Before the relay is synced it does nothing, because sync does it then.
func (m *Mirror) enqueue(i *mirrored) {
	if m.synced && !i.queued {
		i.queued = true
		m.queue = append(m.queue, i.ID)
	}
}

func (m *Mirror) superseded(term uint64) bool { return term > m.term }

func (m *Mirror) supersede(term uint64) []Event {
	if m.over || !m.superseded(term) {
		return nil
	}
	m.over = true
	return []Event{Superseded{Term: term}}
}
