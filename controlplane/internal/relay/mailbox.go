package relay

import (
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A mailbox delivers the events of one instance in order, one at a time, whichever goroutines they come from. It has room for one
// event of each kind, which is enough, because only the last of each kind counts. Lost takes back an Up that was not delivered
// yet.
type mailbox struct {
	events relays.Events
	id     string

	mu       sync.Mutex
	busy     bool // a goroutine delivers, also what is noted meanwhile
	wasUp    bool
	waiting  *relays.Waiting
	up       *relays.Up
	load     *relays.Load
	notice   wire.Notice
	draining wire.Reason
	drained  bool
	lost     error
	down     *ending
}

// An ending is how an instance ended: with a report, or with an error.
type ending struct {
	report *wire.Report
	err    error
}

func newMailbox(events relays.Events, id string) *mailbox {
	return &mailbox{events: events, id: id}
}

// note adds an event. It does not block, so it can be called with the lock held under which the event happened. deliver must
// follow.
func (m *mailbox) note(event func(*mailbox)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	event(m)
}

// deliver makes the calls for the noted events, unless another goroutine does. The caller must hold no lock.
func (m *mailbox) deliver() {
	m.mu.Lock()
	if m.busy {
		m.mu.Unlock()
		return
	}
	m.busy = true
	for call := m.nextLocked(); call != nil; call = m.nextLocked() {
		m.mu.Unlock()
		call()
		m.mu.Lock()
	}
	m.busy = false
	m.mu.Unlock()
}

// noticed adds a notice of the peer. One that its environment is worn is not replaced by another.
func (m *mailbox) noticed(word wire.Notice) {
	if !m.notice.Wears() {
		m.notice = word
	}
}

// lose adds that the control stream broke off.
func (m *mailbox) lose(err error) {
	m.waiting, m.up = nil, nil
	if m.wasUp {
		m.lost = err
	}
}

// nextLocked returns the next call to make; nil if there is none. Loads, notices and drains wait for Up.
func (m *mailbox) nextLocked() func() {
	switch {
	case m.lost != nil:
		err := m.lost
		m.lost, m.wasUp = nil, false
		return func() { m.events.Lost(m.id, err) }
	case m.waiting != nil:
		waiting := *m.waiting
		m.waiting = nil
		return func() { m.events.Waiting(waiting) }
	case m.up != nil:
		up := *m.up
		m.up, m.wasUp = nil, true
		return func() { m.events.Up(up) }
	case m.wasUp && m.load != nil:
		load := *m.load
		m.load = nil
		return func() { m.events.Load(m.id, load) }
	case m.wasUp && m.notice != "":
		notice := m.notice
		m.notice = ""
		return func() { m.events.Notice(m.id, notice) }
	case m.wasUp && m.draining != "" && !m.drained:
		reason := m.draining
		m.drained = true
		return func() { m.events.Draining(m.id, reason) }
	case m.down != nil:
		down := *m.down
		m.down, m.wasUp = nil, false
		return func() { m.events.Down(m.id, down.report, down.err) }
	default:
		return nil
	}
}
