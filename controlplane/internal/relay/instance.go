package relay

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Limits of one instance. Spliced tunnels need no limit, because there is one for each connection that Envoy has opened.
const (
	maxWaiting  = 64 // connections of Envoy that wait for a tunnel
	maxGreeting = 2  // control streams whose hello has not come
)

// surplusFor is how long idle tunnels beyond the first may wait for another connection of Envoy's. Only the relay closes them,
// because only it knows that a tunnel is idle. A peer might close one just as a connection is on its way.
const surplusFor = time.Second

// How long tunnels may stay without their control stream.
const (
	// linger is for an orderly end, when bytes of the last answers may still be on their way.
	linger = time.Second
	// grace is for a control stream that broke off. A network that lost a connection, or a machine that stalled for a moment,
	// must not end requests whose tunnels are up. The peer notices later than the relay, and then dials again.
	grace = 3 * time.Second
)

// An instance is one invocation's tunnels, control stream and socket. It is expected, then up, perhaps lost and up again, then
// ended. Ended is final, so that its token opens nothing afterwards.
type instance struct {
	relays.Expectation // static
	relay              *Relay
	log                logrus.FieldLogger
	mail               *mailbox

	mu       sync.Mutex
	rates    rates
	expiry   *time.Timer
	greeting []*controlStream // before their hello
	control  *controlStream   // nil until the hello, and while lost
	owner    string           // environment of the first hello; later ones must be of the same
	ready    bool             // the control stream was welcomed
	waits    bool             // the peer's app does not take requests yet
	lost     *time.Timer      // runs while the control stream is gone and may come back
	lostAt   uint64           // serial number of the last connection before it was lost
	drain    *wire.Message    // the drain that the control plane ordered
	listener *net.UnixListener
	reserved int         // tunnels between their admission and their 101
	idle     []*tunnel   // oldest first
	surplus  *time.Timer // closes all idle tunnels but the first; nil until there were more
	waiting  []*waiter   // oldest first; empty while there is an idle tunnel
	spliced  map[*tunnel]struct{}
	doubt    *time.Timer // runs limitOlder; nil until a control stream was replaced
	doubtful uint64      // serial number of the last connection that may have been lost with an earlier control stream
	ended    bool
	finished bool // Down was noted
	down     ending
	cutter   *time.Timer // ends the linger
}

func newInstance(r *Relay, e relays.Expectation) *instance {
	i := &instance{
		Expectation: e,
		relay:       r,
		log:         r.log.WithFields(logrus.Fields{"instance": e.Instance, "function": e.Function}),
		mail:        newMailbox(r.events, e.Instance),
		rates:       newRates(),
	}
	i.mu.Lock() // the timer may fire at once
	defer i.mu.Unlock()
	i.expiry = time.AfterFunc(time.Until(e.Expires), i.expire)
	return i
}

// An instance that was up is expected for a while after a restart of the relay. While others of that kind come, it may be among those
// that wait: with thousands of them, or on a busy machine, that takes longer. Its peer tries for about as long.
const (
	longReturn = 25 * time.Second // beyond Expires
	lastReturn = 2 * time.Second  // after another has come, if nobody is in the middle of it
)

// expire ends an instance whose peer has not dialled.
func (i *instance) expire() {
	i.mu.Lock()
	later := !i.ended && i.owner == "" && i.StartBy.IsZero() && time.Since(i.Expires) < longReturn && i.relay.returning()
	if later {
		i.expiry.Reset(lastReturn / 4)
	}
	i.mu.Unlock()
	if !later {
		i.endIf(func() bool { return i.owner == "" }, ending{err: relays.ErrNeverDialled}, 0)
	}
}

// returning tells whether peers come that dial again: one is in the middle of it, or the last came a moment ago.
func (r *Relay) returning() bool {
	return r.door.Busy() || r.returned.since(time.Now()) < lastReturn
}

// comeUp opens the socket as soon as everything is there: a welcomed control stream, an app that takes requests, and an idle
// tunnel.
func (i *instance) comeUp() {
	i.mu.Lock()
	if i.ended || !i.ready || i.waits || len(i.idle) == 0 || i.listener != nil {
		i.mu.Unlock()
		return
	}
	listener, err := i.listen()
	if err != nil {
		i.mu.Unlock()
		i.log.WithError(err).Error("endpoint's socket could not be opened")
		i.end(ending{err: fmt.Errorf("the relay cannot open the endpoint's socket: %w", err)}, 0)
		return
	}
	i.listener = listener
	i.relay.counters.up.Add(1)
	i.relay.tasks.Go(func() { i.accept(listener) })
	up := newUp(i.Instance, i.control.hello)
	i.mail.note(func(m *mailbox) { m.up = &up })
	i.mu.Unlock()
	i.mail.deliver()
}

func newUp(instance string, hello wire.Message) relays.Up {
	return relays.Up{
		Instance: instance, Environment: hello.Environment, Slots: hello.Slots, Cold: hello.Cold, Left: hello.Left.Duration(),
		Peer: peerOf(hello),
	}
}

func peerOf(hello wire.Message) relays.Peer {
	return relays.Peer{
		Build: hello.Build, Features: hello.Features, FunctionVersion: hello.FunctionVersion,
		RequestID: hello.RequestID, LogStream: hello.LogStream,
	}
}

// listen opens the socket. If file descriptors are short, strangers must give way for it.
func (i *instance) listen() (*net.UnixListener, error) {
	listener, err := i.relay.sockets.listen(i.Endpoint)
	if err != nil && i.relay.relieve(err) {
		return i.relay.sockets.listen(i.Endpoint)
	}
	return listener, err
}

// end takes the instance out of service, and reports Down when its tunnels are closed. They have at most wait to end by themselves.
// Only the first end counts. It must not be called from within a method of Commands.
func (i *instance) end(how ending, wait time.Duration) { i.endIf(always, how, wait) }

func always() bool { return true }

// endIf is end if still holds then. It is called with the lock held: a peer may come back while its end is decided.
func (i *instance) endIf(still func() bool, how ending, wait time.Duration) {
	if i.stop(still, how, wait) {
		i.finish()
	}
}

// stop is endIf without the report. It tells whether no tunnel is left, so that finish must be called.
func (i *instance) stop(still func() bool, how ending, wait time.Duration) (done bool) {
	i.mu.Lock()
	if i.ended || !still() {
		i.mu.Unlock()
		return false
	}
	i.ended, i.down = true, how
	stopTimers(i.expiry, i.lost, i.surplus, i.doubt)
	for _, w := range i.waiting {
		w.giveUpLocked()
	}
	streams, idle, listener := i.streamsLocked(), i.idle, i.listener
	i.idle, i.waiting = nil, nil
	if wait > 0 && len(i.spliced) > 0 {
		i.cutter = time.AfterFunc(wait, i.cut)
	}
	done = len(i.spliced) == 0
	i.mu.Unlock()

	i.relay.remove(i)
	i.leaveSocket(listener)
	i.closeAll(streams, idle)
	if wait == 0 {
		i.cut()
	}
	return done
}

// stopTimers stops the timers that are not nil.
func stopTimers(timers ...*time.Timer) {
	for _, t := range timers {
		if t != nil {
			t.Stop()
		}
	}
}

// leaveSocket closes the socket, if it was open. What Envoy has opened until then waits for a tunnel, or ends with the instance.
func (i *instance) leaveSocket(listener *net.UnixListener) {
	if listener == nil {
		return
	}
	for _, late := range i.relay.sockets.release(i.Endpoint, listener) {
		i.join(late)
	}
	i.relay.counters.up.Add(-1)
}

func (i *instance) streamsLocked() []*controlStream {
	if i.control == nil {
		return i.greeting
	}
	return append(i.greeting, i.control)
}

func (i *instance) closeAll(streams []*controlStream, idle []*tunnel) {
	for _, c := range streams {
		_ = c.conn.Close()
	}
	for _, t := range idle {
		i.relay.counters.tunnelsIdle.Add(-1)
		_ = t.conn.Close()
	}
}

// cut closes all spliced tunnels. Each notices and leaves; the last one finishes the instance.
func (i *instance) cut() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t := range i.spliced {
		t.abort()
	}
}

// finish reports Down once, when no tunnel of an ended instance is left.
func (i *instance) finish() {
	i.mu.Lock()
	if !i.ended || i.finished || len(i.spliced) > 0 {
		i.mu.Unlock()
		return
	}
	i.finished = true
	if i.cutter != nil {
		i.cutter.Stop()
	}
	i.mail.note(func(m *mailbox) { m.down = &i.down })
	i.mu.Unlock()
	i.mail.deliver()
	i.relay.tasks.Done() // of Expect
}
