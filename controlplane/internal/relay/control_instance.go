package relay

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// greetControl admits one more control stream before its hello.
func (i *instance) greetControl(c *controlStream) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return refuse(DropUnknownInstance, unknownInstance)
	}
	if !i.withinLocked(&i.rates.streams, DropControlTooOften) {
		return refuse(DropControlTooOften, "the instance opens control streams more often than it may")
	}
	if len(i.greeting) >= maxGreeting {
		return refuse(DropControlExists, "the instance has control streams that sent no hello yet")
	}
	i.greeting = append(i.greeting, c)
	return nil
}

// ungreetControl says that a control stream has sent its hello or has ended.
func (i *instance) ungreetControl(c *controlStream) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// A new slice, nil when empty: an ended instance reads the old one.
	rest := slices.DeleteFunc(slices.Clone(i.greeting), func(other *controlStream) bool { return other == c })
	i.greeting = slices.Clip(rest)
	if len(rest) == 0 {
		i.greeting = nil
	}
}

// tell passes on an event of the control stream.
func (i *instance) tell(event func(*mailbox)) {
	i.mail.note(event)
	i.mail.deliver()
}

// attach makes c the instance's control stream and welcomes it. An instance has only one. A second one is refused unless it comes
// from the same environment: then the network has lost the first one, and perhaps tunnels with it.
func (i *instance) attach(c *controlStream) error {
	old, again, err := i.adopt(c)
	if err != nil {
		return err
	}
	if old != nil {
		_ = old.conn.Close()
	}
	if again {
		i.log.Warn("the peer lost its control stream and dialled again")
		i.tell(func(m *mailbox) { m.load = &relays.Load{} }) // the loads of each control stream begin at zero
	}
	if err := c.send(i.welcome(c)); err != nil {
		i.lose(c, nil, err)
		return err
	}
	if c.hello.Waiting != "" {
		i.waitsFor(c, c.hello.Waiting)
	}
	i.welcomed(c)
	return nil
}

// welcome is the answer to c's hello. A peer that waits for its app is told how long its start may take.
func (i *instance) welcome(c *controlStream) wire.Message {
	m := wire.Message{Kind: wire.KindWelcome, Build: wire.Build(), Features: wire.ControlFeatures()}
	if c.hello.Waiting != "" && !i.StartBy.IsZero() {
		m.StartLeft = wire.Millis(min(max(time.Millisecond, time.Until(i.StartBy)), wire.MaxLimit.Duration()))
	}
	return m
}

// waitsFor passes on what a peer waits for. It does nothing once the app was ready.
func (i *instance) waitsFor(c *controlStream, what string) {
	i.mu.Lock()
	current := i.control == c && i.waits
	if current {
		waiting := relays.Waiting{Instance: i.Instance, Environment: i.owner, What: what, Peer: peerOf(c.hello)}
		i.mail.note(func(m *mailbox) { m.waiting = &waiting })
	}
	i.mu.Unlock()
	if current {
		i.mail.deliver()
	}
}

// appReady says that the app takes requests, so the instance may come up. left is the time until its invocation's deadline.
func (i *instance) appReady(c *controlStream, left wire.Millis) {
	i.mu.Lock()
	if i.control != c || !i.waits {
		i.mu.Unlock()
		return
	}
	i.waits, c.hello.Left = false, left
	i.mu.Unlock()
	i.comeUp()
}

// adopt makes c the instance's control stream. It returns the one that c replaces, nil if that has ended, and whether there ever
// was one.
func (i *instance) adopt(c *controlStream) (old *controlStream, again bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old, again = i.control, i.owner != ""
	switch {
	case i.ended:
		return nil, false, refuse(DropUnknownInstance, unknownInstance)
	case again && i.owner != c.hello.Environment:
		return nil, false, refuse(DropControlExists, "another environment serves this instance")
	}
	if again {
		i.doubtLocked(i.lastDoubtful(old, c))
	}
	if !again && i.StartBy.IsZero() {
		i.relay.returned.set(time.Now())
	}
	i.control, i.owner, i.ready, i.waits = c, c.hello.Environment, false, c.hello.Waiting != ""
	stopTimers(i.expiry, i.lost)
	return old, again, nil
}

// lastDoubtful is the serial number of the last connection that may have been lost together with the old control stream: the last
// one before the relay noticed the loss or, if it did not, before the new stream.
func (i *instance) lastDoubtful(old, c *controlStream) uint64 {
	if old == nil {
		return i.lostAt
	}
	return c.conn.serial - 1
}

// welcomed lets the instance come up, and sends a drain that was ordered before.
func (i *instance) welcomed(c *controlStream) {
	i.mu.Lock()
	if i.control != c {
		i.mu.Unlock()
		return
	}
	i.ready = true
	drain := i.drain
	i.mu.Unlock()
	if drain != nil {
		_ = c.send(*drain)
	}
	i.comeUp()
}

// requestDrain tells the peer to drain, as soon as there is a control stream. Only the first call counts.
func (i *instance) requestDrain(reason wire.Reason) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended || i.drain != nil {
		return
	}
	drain := wire.Message{Kind: wire.KindDrain, Reason: reason}
	i.drain = &drain
	if c := i.control; i.ready {
		i.relay.tasks.Go(func() { _ = c.send(drain) })
	}
}

// lose handles the end of a control stream, unless another has replaced it. After a goodbye the instance ends, and its tunnels have
// some time to end by themselves.
func (i *instance) lose(c *controlStream, report *wire.Report, err error) {
	if report == nil {
		i.suspend(c, err)
		return
	}
	i.endIf(func() bool { return i.control == c }, ending{report: report}, linger)
}

// suspend takes an instance out of service whose control stream broke off, and gives its peer time to come back. It closes the
// socket, so that Envoy opens new connections elsewhere. Existing connections stay.
func (i *instance) suspend(c *controlStream, err error) {
	i.mu.Lock()
	if i.ended || i.control != c {
		i.mu.Unlock()
		return
	}
	listener := i.listener
	i.control, i.ready, i.listener = nil, false, nil
	i.lostAt = i.relay.counters.accepted.Load()
	i.lost = time.AfterFunc(grace, func() { i.giveUp(err) })
	i.mail.note(func(m *mailbox) { m.lose(err) })
	i.mu.Unlock()
	i.leaveSocket(listener)
	i.mail.deliver()
}

// giveUp ends an instance whose peer did not come back.
func (i *instance) giveUp(err error) {
	i.endIf(func() bool { return i.control == nil }, ending{err: err}, 0)
}
