package relay

import (
	"errors"
	"slices"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// greetControl admits one more control stream before its hello.
func (i *instance) greetControl(c *controlStream) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return refuse(DropUnknownInstance, unknownInstance)
	}
	if len(i.greeting) >= maxGreeting {
		return refuse(DropControlExists, "the instance has control streams that sent no hello yet")
	}
	i.greeting = append(i.greeting, c)
	return nil
}

// ungreetControl ends what greetControl began.
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

// tell passes an event of the control stream on.
func (i *instance) tell(event func(*mailbox)) {
	i.mail.note(event)
	i.mail.deliver()
}

// attach makes c the instance's control stream and welcomes it. An instance has one. A second is refused, unless it
// comes from the same environment: then the peer has lost the first to its network, and what it dialled before with it.
func (i *instance) attach(c *controlStream) error {
	old, err := i.adopt(c)
	if err != nil {
		return err
	}
	if old != nil {
		i.log.Warn("control stream replaced: the peer dialled again")
		_ = old.conn.Close()
		i.closeOlder(c.conn.serial)
	}
	if err := c.send(wire.Message{Kind: wire.KindWelcome}); err != nil {
		i.lose(c, nil, err)
		return err
	}
	i.welcomed(c)
	return nil
}

func (i *instance) adopt(c *controlStream) (old *controlStream, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old = i.control
	switch {
	case i.ended:
		return nil, refuse(DropUnknownInstance, unknownInstance)
	case old != nil && old.hello.Environment != c.hello.Environment:
		return nil, refuse(DropControlExists, "another environment serves this instance")
	}
	i.control = c
	i.expiry.Stop()
	return old, nil
}

// welcomed lets the instance come up, and passes on a drain that was asked for before.
func (i *instance) welcomed(c *controlStream) {
	i.relay.counters.controlStreams.Add(1)
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

// requestDrain passes the control plane's first wish to drain on, as soon as there is somebody to tell.
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

// lose ends the instance with its control stream, unless that was replaced meanwhile. Tunnels may end by themselves
// after an orderly end; nothing good can come through them after any other.
func (i *instance) lose(c *controlStream, report *wire.Report, err error) {
	i.mu.Lock()
	current := i.control == c
	i.mu.Unlock()
	if !current {
		return
	}
	wait := linger
	if err != nil && !errors.Is(err, ErrControlEnded) {
		wait = 0
	}
	i.end(ending{report: report, err: err}, wait)
}
