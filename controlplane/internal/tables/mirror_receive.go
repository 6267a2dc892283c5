package tables

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// ErrTooMany says that a relay has sent more instances than it may have.
var ErrTooMany = errors.New("the relay has more instances than it may")

// Receive handles a message of the relay on the stream that was last attached. Call Taken when the events are handled. After an
// error the stream is useless, but the events have happened.
func (m *Mirror) Receive(now time.Time, o Observed) ([]Event, error) {
	if m.superseded(o.Term) {
		return m.supersede(o.Term), nil
	}
	events := m.receive(now, o)
	if len(m.instances) > 2*MaxInstances || len(m.ended) > 2*MaxInstances {
		return events, ErrTooMany
	}
	return events, nil
}

func (m *Mirror) receive(now time.Time, o Observed) (events []Event) {
	if o.Hello != nil {
		m.hello = *o.Hello
		events = append(events, Changed{m.hello})
	}
	for _, n := range o.Notes {
		if n.Term < m.term { // otherwise it is this leader's own
			events = append(events, Noted{n})
		}
	}
	for _, id := range o.Refused {
		events = m.refused(events, id)
	}
	events = m.done(events, o.Done)
	for _, i := range o.Instances {
		events = m.take(events, i, o.Number)
	}
	for _, l := range o.Loads {
		events = m.load(events, l)
	}
	m.acked(o.Acked)
	m.pong(o.Pong)
	if o.Complete && !m.synced {
		events = append(m.sync(now, events), Synced{})
	}
	return events
}

// take compares an instance with what was known about it, and adds events for the difference.
func (m *Mirror) take(events []Event, now Instance, number uint64) []Event {
	if now.Phase == PhaseEnded {
		m.heard = number
		if _, known := m.ended[now.ID]; known {
			m.ended[now.ID] = number
			return events
		}
	}
	i := m.instances[now.ID]
	if i == nil {
		i = &mirrored{Instance: inherited(now), confirmed: true, drain: now.Drain}
		m.instances[now.ID] = i
		delete(m.ended, now.ID) // of a relay that was taken for replaced
		events = append(events, Inherited{now})
	}
	if !i.confirmed {
		i.confirmed = true
		events = append(events, Expected{now.ID})
	}
	i.expect = false
	if i.past {
		events = rebirth(events, i)
	}
	events = tell(events, i.Instance, now)
	now.Dollars, now.Memo = i.Dollars, i.Memo // are the leader's own
	i.Instance, i.seen = now, true
	if now.Phase == PhaseEnded {
		m.ended[now.ID] = number
		delete(m.instances, now.ID)
	}
	return events
}

// inherited is what is known about an instance before its first event.
func inherited(now Instance) Instance {
	return Instance{
		ID: now.ID, Function: now.Function, Endpoint: now.Endpoint, Dollars: now.Dollars, Memo: now.Memo, Phase: PhaseExpected,
	}
}

// tell adds the events that lead from one state of an instance to another.
func tell(events []Event, before, now Instance) []Event {
	up := now.Phase == PhaseUp
	if before.Phase == PhaseUp && now.Phase != PhaseEnded && (!up || now.Ups > before.Ups) {
		events = append(events, Lost{now.ID, now.Why, false})
	}
	if now.Ups > before.Ups || up && before.Phase == PhaseLost {
		events = append(events, Up{now.ID, now.Environment, now.Slots, now.Cold, now.Left, now.Peer})
		if !up && now.Phase != PhaseEnded {
			events = append(events, Lost{now.ID, now.Why, false})
		}
	}
	// A peer that has nothing to do sends no load. A leader that takes the instance over must hear that nothing runs there, or it would
	// wait for what may.
	if up && before.Phase != PhaseUp && now.Load == nil {
		events = append(events, Load{Instance: now.ID})
	}
	if now.Waits > before.Waits && now.Phase == PhaseWaiting {
		events = append(events, Waiting{now.ID, now.Environment, now.What, now.Peer})
	}
	if up && now.Load != nil && (before.Load == nil || now.Load.Number > before.Load.Number) {
		events = append(events, aged(*now.Load))
	}
	if now.Notices > before.Notices {
		events = append(events, Notice{now.ID, now.Notice})
	}
	if now.Leaves != "" && before.Leaves == "" {
		events = append(events, Draining{now.ID, now.Leaves})
	}
	if now.Phase == PhaseEnded && now.End != nil {
		events = append(events, Down{now.ID, *now.End})
	}
	return events
}

// aged adds the time that a load waited at the relay to its way.
func aged(l Load) Load {
	l.Way, l.Age = l.Way+l.Age, 0
	return l
}

func (m *Mirror) load(events []Event, l Load) []Event {
	i := m.instances[l.Instance]
	if i == nil || i.Load != nil && l.Number <= i.Load.Number {
		return events
	}
	i.Load = &l
	return append(events, aged(l))
}

// refused ends an instance for which the relay has no room.
func (m *Mirror) refused(events []Event, id string) []Event {
	i := m.instances[id]
	if i == nil || i.confirmed {
		return events
	}
	delete(m.instances, id)
	return append(events, Down{id, End{Cause: EndFull, Detail: "the relay has as many instances as it may"}})
}

// done handles that wants up to that number were carried out.
func (m *Mirror) done(events []Event, number uint64) []Event {
	for len(m.sent) > 0 && m.sent[0].number <= number {
		i := m.instances[m.sent[0].instance]
		m.sent = m.sent[1:]
		if i == nil {
			continue
		}
		i.expect = false
		if !i.confirmed {
			i.confirmed = true
			events = append(events, Expected{i.ID})
		}
	}
	return events
}

// acked forgets ends that the relay does not repeat any more.
func (m *Mirror) acked(number uint64) {
	maps.DeleteFunc(m.ended, func(_ string, sent uint64) bool { return sent <= number })
}

func (m *Mirror) pong(number uint64) {
	if number == m.ping.number && !m.ping.sent.IsZero() {
		m.ping.confirmed, m.ping.sent = m.ping.sent, time.Time{}
	}
}

// sync is called when the relay has sent everything that it has. An instance that it should have but has not was lost in a
// restart: it is expected again, and goes on if its peer dials. Then all wants are queued that the relay may not have received.
func (m *Mirror) sync(now time.Time, events []Event) []Event {
	m.synced = true
	maps.DeleteFunc(m.ended, func(_ string, number uint64) bool { return number == unrepeated })
	for _, id := range slices.Sorted(maps.Keys(m.instances)) {
		i := m.instances[id]
		switch {
		case i.seen:
		case i.forget && i.confirmed:
			delete(m.instances, id)
			events = append(events, Down{id, End{Cause: EndForgotten}})
			continue
		case i.confirmed:
			events = m.again(now, events, i)
		}
		if i.expect || i.drain != i.Drain || i.forget {
			m.enqueue(i)
		}
	}
	return events
}

// again expects an instance once more, as if it had never dialled.
func (m *Mirror) again(now time.Time, events []Event, i *mirrored) []Event {
	if i.Ups > 0 || i.expires.IsZero() {
		i.expires, i.startBy = now.Add(Redial), time.Time{}
	}
	i.expect = true
	return rebirth(events, i)
}

// rebirth follows the end of the relay's process, after which its counts of an instance begin anew: the instance has not dialled
// this one.
func rebirth(events []Event, i *mirrored) []Event {
	if i.Phase == PhaseUp {
		events = append(events, Lost{i.ID, "the relay has restarted", true})
	}
	i.Instance, i.past = inherited(i.Instance), false
	return events
}
