package tables

import "time"

// Next returns the next message for the relay, if there is one.
func (m *Mirror) Next(now time.Time) (d Desired, ok bool) {
	if !m.attached || !m.pending() {
		return Desired{}, false
	}
	d, m.due = Desired{Term: m.term, Leader: m.leader, Ack: m.ack}, false
	if m.owesNotes() {
		if d.Notes, m.noting = takeNotes(now, m.notes, m.noting); len(m.noting) > 0 {
			return d, true
		}
	}
	m.nextWants(now, &d)
	if m.owesPing() && len(m.queue) == 0 {
		m.ping.number++
		m.ping.due, m.ping.sent, d.Ping = false, now, m.ping.number
	}
	if m.synced && !m.complete && len(m.queue) == 0 {
		m.complete, d.Complete = true, true
	}
	return d, true
}

func (m *Mirror) pending() bool {
	return m.due || m.owesPing() || len(m.queue) > 0 || m.owesNotes() || m.synced && !m.complete
}

// owesPing tells whether a ping must be sent. Only one is unanswered at a time, and it is sent after all wants.
func (m *Mirror) owesPing() bool { return m.ping.due && m.ping.sent.IsZero() }

// owesNotes tells whether notes must be sent. Before the relay is synced they must not be, because they replace notes of former
// leaders.
func (m *Mirror) owesNotes() bool { return m.synced && len(m.noting) > 0 }

// nextWants adds as many wants as one message may hold.
func (m *Mirror) nextWants(now time.Time, d *Desired) {
	n := min(len(m.queue), maxItems)
	for _, id := range m.queue[:n] {
		if i := m.instances[id]; i != nil {
			d.Wants = append(d.Wants, m.want(now, i))
		}
	}
	m.queue = m.queue[n:]
}

func (m *Mirror) want(now time.Time, i *mirrored) Want {
	m.number++
	i.queued = false
	w := Want{Number: m.number, Instance: i.ID, Drain: i.drain, Forget: i.forget}
	if i.expect {
		w.Expect = &Expectation{
			Instance: i.ID, Function: i.Function, Endpoint: i.Endpoint, Dollars: i.Dollars, Memo: i.Memo,
			Expires: until(now, i.expires), StartBy: until(now, i.startBy),
		}
		m.sent = append(m.sent, sentWant{i.ID, m.number})
	}
	return w
}
