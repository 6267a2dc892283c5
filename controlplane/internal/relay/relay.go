// Package relay joins connections that Envoy opens to connections that peers dialled. It listens on one port for peers
// and on one unix socket per instance for Envoy, checks who may serve, and copies bytes; of what it copies it knows
// nothing. It decides nothing either: the control plane tells it whom to expect (relays.Commands) and hears who is up (relays.Events).
//
// What grows has a limit: connections in all, those that have shown no valid token (see package door), idle tunnels and
// waiting connections per instance, how often an instance may dial and speak, the size of every message, and the time of
// everything that waits for a peer. Spliced tunnels are as many as the connections that Envoy opens.
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
	Identity       func() Identity // with TLSFiles: as it is now
	Dir            string          // of the endpoints' sockets; made if need be, 0700, at most 56 bytes of path
	TunnelWait     time.Duration
	MaxConnections int // of peers that were let in
	Key            token.Key
	CAFile         string // with TLSAuto: keeps the CA for a relay that restarts; made if need be. Empty: it lives and dies with this one
	// Settled tells whether all instances are known that there are. Before that one that is not may dial again later; nil: they
	// always are.
	Settled func() bool
	// FirstByte is how long a connection may be silent at first. 0: 1.5 s, after which a peer has given up, too.
	FirstByte time.Duration
	// HandshakeTimeout bounds TLS, request and registration together, and the hello once more. 0: 5 s.
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

	acceptFailed seldom

	mu        sync.RWMutex
	instances map[string]*instance
	closed    bool
}

// New opens the port and takes possession of the directory. Run must follow, also to give them back.
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
		stopped: make(chan struct{}), instances: make(map[string]*instance),
	}, nil
}

// listen leaves keepalive to each connection's purpose.
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
	r.tasks.Add(1) // so that no count begins at zero while we wait below
	stop := context.AfterFunc(ctx, func() { _ = r.listener.Close() })
	defer stop()
	r.tasks.Go(r.sweep)
	err := r.serve(ctx)

	// First nobody new, then everything that stands, each with its Down; the directory last, when no socket is left.
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
	if i != nil && i.stop(ending{err: relays.ErrForgotten}, 0) {
		go i.finish() // the instance's own count keeps Run waiting for it
	}
}

// SocketPath returns the absolute path of an endpoint's socket, which exists while an instance is up behind it.
func (r *Relay) SocketPath(endpoint string) string { return r.sockets.path(endpoint) }

// Addr returns the address that the relay listens on.
func (r *Relay) Addr() net.Addr { return r.listener.Addr() }

// Advertised returns what peers need to dial the relay now and to know that it is the one.
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

// remove makes an ended instance unknown.
func (r *Relay) remove(i *instance) {
	r.mu.Lock()
	delete(r.instances, i.Instance)
	r.mu.Unlock()
	r.counters.instances.Add(-1)
}
