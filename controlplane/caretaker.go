package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/patient"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relay"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tracing"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A caretaker decides about requests in the relay's process while no control plane leads: ready instances still serve. It hears all
// events and commands of the relay, also while a control plane leads, so that it knows at once which slots are free.
type caretaker struct {
	dispatcher *dispatch.Dispatcher
	socket     net.Listener
	grpc       *grpc.Server
	interim    xds.Interim
	tracer     *tracing.Tracer
	log        logrus.FieldLogger
}

// newCaretaker returns one that Envoy cannot ask yet.
func newCaretaker(cfg *Config, log logrus.FieldLogger) *caretaker {
	c := &caretaker{log: log.WithField("component", "caretaker")}
	quiet := logrus.New() // whoever leads says what happens to instances
	quiet.SetLevel(logrus.ErrorLevel)
	c.dispatcher = dispatch.New(dispatch.Options{
		Configuration: undecided(cfg), Key: token.NewKey(), Log: quiet, Caretaker: true,
	})
	c.dispatcher.Connect(dispatch.Connection{
		Relay: nobody{}, Changed: c.interim.Changed,
		Socket: func(endpoint string) string { return relay.SocketPath(socketDir(cfg), endpoint) },
	})
	c.tracer = newTracer(cfg, log)
	c.grpc, _ = newDecider(trust.Socket())
	extprocv3.RegisterExternalProcessorServer(c.grpc, extproc.New(c.dispatcher, log).Witnessed(c.tracer))
	c.interim.Register(c.grpc)
	return c
}

// undecided is the dispatcher's configuration of a caretaker, which starts nothing.
func undecided(cfg *Config) dispatch.Configuration {
	return dispatch.Configuration{Functions: cfg.Functions, Pricing: cfg.Pricing}
}

// open opens the socket where Envoy asks.
func (c *caretaker) open(cfg *Config) (err error) {
	if c.socket, err = listenControl(filepath.Join(cfg.StateDir, xds.CaretakerSocket)); err != nil {
		return fmt.Errorf("caretaker: %w", err)
	}
	return nil
}

// close gives back what newCaretaker took, if run is not called.
func (c *caretaker) close() error {
	c.grpc.Stop()
	if c.socket == nil {
		return nil
	}
	return c.socket.Close()
}

// newDecider returns a server for a process that decides about requests. Envoy checks its health, which is good until it is set
// otherwise.
func newDecider(as credentials.TransportCredentials, o ...grpc.ServerOption) (*grpc.Server, *health.Server) {
	own := []grpc.ServerOption{grpc.Creds(as), grpc.ConnectionTimeout(handshakeWithin)}
	options := slices.Concat(extproc.ServerOptions(), own, callers.Options(), o)
	s, h := grpc.NewServer(options...), health.NewServer()
	healthv1.RegisterHealthServer(s, h)
	return s, h
}

// handshakeWithin bounds the handshake of a connection.
const handshakeWithin = 5 * time.Second

// run serves Envoy until ctx ends. current is the configuration in force; leads tells whether a control plane leads.
func (c *caretaker) run(ctx context.Context, current func() *Config, leads func() bool) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	c.dispatcher.Start()
	stop := context.AfterFunc(ctx, c.grpc.Stop)
	defer stop()
	var beside sync.WaitGroup
	beside.Go(func() { c.giveBack(ctx, leads) })
	beside.Go(func() { c.configureNewcomers(ctx, current, leads) })
	err := c.grpc.Serve(patient.Listener(c.socket, c.log))
	end()
	beside.Wait()
	c.dispatcher.Abandon()
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// How soon requests that wait here are given to a new leader. Envoy needs a moment to notice it.
const (
	looksEvery = 100 * time.Millisecond
	noticed    = 5 // looks
)

// giveBack gives the requests that wait to a control plane that leads, until ctx ends.
func (c *caretaker) giveBack(ctx context.Context, leads func() bool) {
	for ctx.Err() == nil {
		awaitLeader(ctx, leads)
		for leads() && ctx.Err() == nil {
			c.dispatcher.GiveBack()
			pause.For(ctx, looksEvery)
		}
	}
}

// awaitLeader blocks until a control plane has led for so long that Envoy has noticed it, or ctx ends.
func awaitLeader(ctx context.Context, leads func() bool) {
	for seen := 0; seen < noticed && pause.For(ctx, looksEvery); {
		if seen++; !leads() {
			seen = 0
		}
	}
}

// nobody is the relay that a caretaker commands: there is none.
type nobody struct{}

func (nobody) Expect(relays.Expectation)         {}
func (nobody) Drain(string, wire.Reason)         {}
func (nobody) Forget(string)                     {}
func (nobody) Note(function string, text []byte) {}

// overheard are the commands to a relay, which a caretaker hears, too.
type overheard struct {
	relays.Commands
	by *dispatch.Dispatcher
}

// Expect implements relays.Commands.
func (o overheard) Expect(e relays.Expectation) {
	o.by.Inherited(relays.Inheritance{Instance: e.Instance, Function: e.Function, Endpoint: e.Endpoint, Dollars: e.Dollars, Memo: e.Memo})
	o.Commands.Expect(e)
}

// Drain implements relays.Commands.
func (o overheard) Drain(instance string, reason wire.Reason) {
	o.by.Draining(instance, reason)
	o.Commands.Drain(instance, reason)
}

// both passes a relay's events on to two listeners: the leader and the caretaker.
type both struct {
	relays.Events // of the leader's stream, which also answers registrations
	caretaker     *dispatch.Dispatcher
}

// Up implements relays.Events.
func (b both) Up(u relays.Up) {
	b.caretaker.Up(u)
	b.Events.Up(u)
}

// Load implements relays.Events.
func (b both) Load(instance string, l relays.Load) {
	b.caretaker.Load(instance, l)
	b.Events.Load(instance, l)
}

// Draining implements relays.Events.
func (b both) Draining(instance string, reason wire.Reason) {
	b.caretaker.Draining(instance, reason)
	b.Events.Draining(instance, reason)
}

// Lost implements relays.Events.
func (b both) Lost(instance string, err error) {
	b.caretaker.Lost(instance, err)
	b.Events.Lost(instance, err)
}

// Down implements relays.Events.
func (b both) Down(instance string, report *wire.Report, err error) {
	b.caretaker.Down(instance, report, err)
	b.Events.Down(instance, report, err)
}
