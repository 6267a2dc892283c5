// Package relay joins connections that Envoy opens to connections that peers dialled. It listens on one port for peers, and on
// one unix socket per instance for Envoy. It checks which peers may serve, and copies bytes without looking at them. It decides
// nothing: the control plane tells it which instances to expect (relays.Commands), and is told which are up (relays.Events).
//
// Everything that may grow has a limit: connections in all, those that have not shown a valid token (see package door), idle
// tunnels and waiting connections per instance, how often an instance may dial and send messages, the size of every message, and
// the time that anything waits for a peer. There are as many spliced tunnels as Envoy has opened connections.
package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/door"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Config is what New needs.
type Config struct {
	Address        string // host:port to listen on
	Advertise      string // host:port that peers dial; empty: what we listen on
	TLS            TLSMode
	Identity       func() Identity // with TLSFiles: returns the present one
	Dir            string          // of the endpoints' sockets; created with mode 0700 if missing; its path has at most 56 bytes
	TunnelWait     time.Duration
	MaxConnections int // of peers that were let in
	Key            token.Key
	CAFile         string // with TLSAuto: keeps the CA over restarts; created if missing. Empty: the CA is kept in memory only
	// Settled tells whether all instances are known. Until then a peer of an unknown instance is told to dial again; nil: they
	// always are.
	Settled func() bool
	// FirstByte is how long a new connection may be silent; 0: 1.5 s, after which a peer has given up too.
	FirstByte time.Duration
	// HandshakeTimeout bounds TLS, request and registration together, and then the hello; 0: 5 s.
	HandshakeTimeout time.Duration
}

const (
	defaultFirstByte        = 1500 * time.Millisecond
	defaultHandshakeTimeout = 5 * time.Second
)

// A Relay is one port for peers and the sockets of their instances. It implements relays.Commands.
type Relay struct {
	// Static after New.
	config   Config
	events   relays.Events
	log      logrus.FieldLogger
	identity identity
	listener *net.TCPListener
	sockets  *sockets
	door     *door.Door

	counters counters
	tasks    sync.WaitGroup // every goroutine, and one count for each instance that has not finished
	stopped  chan struct{}  // closed when Run begins to stop

	acceptFailed rate.Sometimes
	returned     moment // when an instance that had been up came last

	mu        sync.RWMutex
	instances map[string]*instance
	closed    bool
}

// New opens the port and locks the directory. Run must follow, which also gives them back.
func New(config Config, events relays.Events, log logrus.FieldLogger) (*Relay, error) {
	config.FirstByte = cmp.Or(config.FirstByte, defaultFirstByte)
	config.HandshakeTimeout = cmp.Or(config.HandshakeTimeout, defaultHandshakeTimeout)
	if config.TunnelWait <= 0 || config.MaxConnections <= 0 {
		return nil, errors.New("relay: tunnel wait and connection limit must be positive")
	}
	identity, err := newIdentity(config)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	sockets, err := openSockets(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	listener, err := listen(config.Address)
	if err != nil {
		sockets.close()
		return nil, fmt.Errorf("relay: %w", err)
	}
	return &Relay{
		config: config, events: events, log: log.WithField("component", "relay"),
		identity: identity, listener: listener, sockets: sockets, door: newDoor(),
		stopped: make(chan struct{}), instances: make(map[string]*instance), acceptFailed: rate.Sometimes{Interval: time.Second},
	}, nil
}

// listen opens the port. Keepalive is off, because watchControl and watchTunnel set it for each connection.
func listen(address string) (*net.TCPListener, error) {
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// Run serves until ctx ends, and returns when every goroutine has ended. It fails only if the port does.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.tasks.Add(1) // so that the count is never zero before the Wait below
	stop := context.AfterFunc(ctx, func() { _ = r.listener.Close() })
	defer stop()
	r.tasks.Go(r.sweep)
	err := r.serve(ctx)

	// First no new connections, then end all instances, each with its Down. The directory comes last, when no socket is left.
	close(r.stopped)
	cancel()
	r.endAll()
	r.tasks.Done()
	r.tasks.Wait()
	r.sockets.close()
	return err
}

func (r *Relay) endAll() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for _, i := range r.list() {
		i.end(ending{err: relays.ErrStopped}, 0)
	}
}

// Expect implements relays.Commands. A second Expect of an instance changes nothing.
func (r *Relay) Expect(e relays.Expectation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.instances[e.Instance] != nil {
		return
	}
	r.tasks.Add(1) // until the instance's finish
	r.counters.instances.Add(1)
	r.instances[e.Instance] = newInstance(r, e)
}

// Drain implements relays.Commands.
func (r *Relay) Drain(id string, reason wire.Reason) {
	if i := r.find(id); i != nil {
		i.requestDrain(reason)
	}
}

// Forget implements relays.Commands.
func (r *Relay) Forget(id string) {
	i := r.find(id)
	if i != nil && i.stop(always, ending{err: relays.ErrForgotten}, 0) {
		go i.finish() // the instance's own count keeps Run waiting for it
	}
}

// SocketPath returns the absolute path of an endpoint's socket, which exists while an instance is up behind it.
func (r *Relay) SocketPath(endpoint string) string { return r.sockets.path(endpoint) }

// Addr returns the address that the relay listens on.
func (r *Relay) Addr() net.Addr { return r.listener.Addr() }

// Advertised returns what peers need to dial the relay now and to authenticate it.
func (r *Relay) Advertised() wire.Relay {
	address := r.config.Advertise
	if address == "" {
		address = r.Addr().String()
	}
	ca, name := r.identity.vouched()
	return wire.Relay{Address: address, TLS: r.identity.config != nil, CA: ca, Name: name}
}

// Stats returns the relay's gauges and counters.
func (r *Relay) Stats() Stats {
	s := r.counters.snapshot()
	s.Strangers = int64(r.door.Standing())
	return s
}

func (r *Relay) find(id string) *instance {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.instances[id]
}

// remove forgets an ended instance.
func (r *Relay) remove(i *instance) {
	r.mu.Lock()
	delete(r.instances, i.Instance)
	r.mu.Unlock()
	r.counters.instances.Add(-1)
}
