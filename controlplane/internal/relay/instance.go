package relay

import (
	"net"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Limits of one instance. Spliced tunnels need none of their own: each is there because Envoy opened a connection.
const (
	maxWaiting  = 64 // connections of Envoy that wait for a tunnel
	maxGreeting = 2  // control streams whose hello has not come
)

// surplusFor is how long idle tunnels beyond the first may wait for another connection of Envoy's. Closing them is left to
// the relay, which alone knows that a tunnel is idle: a peer that closed one might cut a connection on its way to it.
const surplusFor = time.Second

// How long tunnels may stay without their control stream.
const (
	// linger is for an orderly end: bytes of the last answers may still be on their way.
	linger = time.Second
	// grace is for a control stream that broke off: a network that lost a connection, or a machine that stood still for a
	// moment, ends no request whose tunnel stands. The peer notices later than the relay and then dials again.
	grace = 3 * time.Second
)

// An instance is one invocation's tunnels, control stream and socket. It is expected, then up, perhaps lost and up again,
// then ended; ended is final, so that a token is worth nothing after the end.
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
	owner    string           // environment of the first hello; no other may follow
	ready    bool             // the control stream was welcomed
	waits    bool             // the peer's app does not take requests yet
	lost     *time.Timer      // runs while the control stream is gone and may come back
	lostAt   uint64           // serial number of the last connection before that
	drain    *wire.Message    // the drain that the control plane asked for
	listener *net.UnixListener
	reserved int         // tunnels between their admission and their 101
	idle     []*tunnel   // oldest first
	surplus  *time.Timer // closes all but the first; nil until there were more
	waiting  []*waiter   // oldest first; never beside an idle tunnel
	spliced  map[*tunnel]struct{}
	doubt    *time.Timer // limits tunnels that are older than the control stream; nil until there may be any
	doubtful uint64      // serial number of the last connection that may have been lost with an earlier control stream
	ended    bool
	finished bool // Down was put
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

// expire ends an instance that nobody dialled for.
func (i *instance) expire() {
	i.mu.Lock()
	dialled := i.owner != ""
	i.mu.Unlock()
	if !dialled {
		i.end(ending{err: relays.ErrNeverDialled}, 0)
	}
}

// comeUp opens the socket as soon as everything stands behind it: a welcomed control stream, an app that takes requests and
// an idle tunnel.
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
		i.end(ending{err: err}, 0)
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

// listen opens the socket. Where descriptors are short strangers give theirs up for it.
func (i *instance) listen() (*net.UnixListener, error) {
	listener, err := i.relay.sockets.listen(i.Endpoint)
	if err != nil && i.relay.relieve(err) {
		return i.relay.sockets.listen(i.Endpoint)
	}
	return listener, err
}

// end takes the instance out of service and reports Down when its tunnels are closed: after at most wait, which gives
// them time to end by themselves. Only the first end counts. It must not be called from within a Commands method.
func (i *instance) end(how ending, wait time.Duration) {
	if i.stop(how, wait) {
		i.finish()
	}
}

// stop is end without the report. It tells whether the instance has nothing left, so that finish is due.
func (i *instance) stop(how ending, wait time.Duration) (done bool) {
	i.mu.Lock()
	if i.ended {
		i.mu.Unlock()
		return false
	}
	i.ended, i.down = true, how
	stopTimers(i.expiry, i.lost, i.surplus, i.doubt)
	streams, idle, waiting, listener := i.streamsLocked(), i.idle, i.waiting, i.listener
	i.idle, i.waiting = nil, nil
	if wait > 0 && len(i.spliced) > 0 {
		i.cutter = time.AfterFunc(wait, i.cut)
	}
	done = len(i.spliced) == 0
	i.mu.Unlock()

	i.relay.remove(i)
	i.leaveSocket(listener)
	i.closeAll(streams, idle, waiting)
	if wait == 0 {
		i.cut()
	}
	return done
}

// stopTimers stops those that were ever set.
func stopTimers(timers ...*time.Timer) {
	for _, t := range timers {
		if t != nil {
			t.Stop()
		}
	}
}

// leaveSocket closes the socket, if it was open.
func (i *instance) leaveSocket(listener *net.UnixListener) {
	if listener != nil {
		i.relay.sockets.release(i.Endpoint, listener)
		i.relay.counters.up.Add(-1)
	}
}

func (i *instance) streamsLocked() []*controlStream {
	if i.control == nil {
		return i.greeting
	}
	return append(i.greeting, i.control)
}

func (i *instance) closeAll(streams []*controlStream, idle []*tunnel, waiting []*waiter) {
	for _, c := range streams {
		_ = c.conn.Close()
	}
	for _, t := range idle {
		i.relay.counters.tunnelsIdle.Add(-1)
		_ = t.conn.Close()
	}
	for _, w := range waiting {
		w.giveUp()
	}
}

// cut closes what is spliced. Each splice notices and leaves; the last one finishes the instance.
func (i *instance) cut() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t := range i.spliced {
		t.abort()
	}
}

// finish reports Down, once, when nothing of an ended instance is left.
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
