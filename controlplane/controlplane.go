// Package controlplane wires the parts of a control plane, and runs them. The parts are in the packages below internal.
//
// A Server has everything in one process (controlplane.go, run.go), or leads while it holds the lease (lead.go, leasestore.go). In the
// second case a RelayServer (relayserver.go) is the relay beside Envoy. Its caretaker decides about requests while nobody leads
// (caretaker.go), and gives an Envoy that has just started its configuration (newcomers.go).
//
// What the two share: relays.go passes on what they say to each other. part.go is about how a process proves who it is, pair.go and
// relaypair.go about the certificates of an Envoy and its relay. outside.go reads the files that the configuration names, and reload.go
// reads them and the configuration again. succession.go waits for the process before. advertise.go finds the address for peers,
// accounts.go the budgets that functions share, status.go what people are shown.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/awslambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/emf"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/kept"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relay"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tracing"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/uplink"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Config is the control plane's configuration. LoadConfig returns a valid one.
type Config = config.Config

// EnvPrefix begins the names of the variables that set configuration keys.
const EnvPrefix = config.EnvPrefix

// LoadConfig reads a configuration: defaults, then the file (none when path is empty), then environ, then overrides
// ("key=value"). The error names every mistake with its path.
func LoadConfig(path string, environ, overrides []string) (*Config, error) {
	cfg, err := config.Load(path, environ, overrides)
	if err != nil {
		return nil, err
	}
	return &cfg, nil
}

// EnvironmentWarnings returns a text for each variable of environ that has an old name, or looks like ours and is not read.
func EnvironmentWarnings(environ []string) []string { return config.EnvironmentWarnings(environ) }

// EnvoyConfig returns what Envoy would be sent for a configuration, as one static Envoy configuration to be validated.
func EnvoyConfig(cfg *Config) ([]byte, error) { return xds.StaticConfig(cfg) }

// NewSigningKey writes a new key to a file, which must not exist, and returns its public half in the form that functions take.
func NewSigningKey(file string) (public string, err error) {
	key := signing.New()
	return key.Public(), key.Save(file)
}

// PublicKey returns the public half of the signing key in a file.
func PublicKey(file string) (string, error) {
	key, err := signing.Load(file)
	return key.Public(), err
}

// A Server is a control plane, with the relay in the same process unless relay.apart is set.
type Server struct {
	config     *Config        // of the start: for keys that need a restart
	reloads    *reloader      // has the one that holds
	api        *awslambda.API // nil: nothing is invoked yet
	outside    *outside
	accounts   accounts
	part       part
	log        logrus.FieldLogger
	dispatcher *dispatch.Dispatcher
	relays     *attached
	relay      *ownRelay // nil: relays are processes of their own
	xds        *xds.Server
	grpc       *grpc.Server
	health     *health.Server
	control    net.Listener // Envoy's and the relays': xDS, ext_proc, streams; a socket only while it leads, where relays are apart
	admin      *admin.Server
	tracer     *tracing.Tracer
	metrics    *emf.Writer
	elector    *lease.Elector // where relays are apart
	leads      atomic.Uint64  // the term, while it leads; where relays are apart
	took       atomic.Int64   // nanoseconds from the election until it decided
	began      atomic.Bool    // its term has begun and not ended
	endControl func()         // ends what is served at control, in a term
	endReloads func()         // where relays are apart: the configuration is not read any more
	stopping   atomic.Bool
}

// here is the name of a relay in this process.
const here = "here"

// An ownRelay is a relay in this process, with its end of the stream.
type ownRelay struct {
	*relay.Relay
	uplink *uplink.Relay
	book   *kept.Book
}

// New wires the parts and opens the listeners, so that it finds all that can be wrong with addresses, files and directories. After
// an error nothing stays open. Nothing is served or started before Run, which must follow; a Run whose ctx has ended only closes
// what New opened.
func New(ctx context.Context, cfg *Config, log logrus.FieldLogger) (*Server, error) {
	s := &Server{config: cfg, accounts: newAccounts(cfg), log: log.WithField("component", "controlplane")}
	s.reloads = newReloader(cfg, s.reconfigure, log)
	if err := s.open(ctx, log); err != nil {
		s.close()
		return nil, err
	}
	s.dispatcher.Connect(dispatch.Connection{
		Relay:   s.relays,
		Socket:  func(endpoint string) string { return relay.SocketPath(socketDir(cfg), endpoint) },
		Relays:  s.relays.dial,
		Changed: s.xds.Changed,
	})
	s.tracer = newTracer(cfg, log)
	s.metrics = emf.New(emf.Options{
		Namespace: cfg.EMF.Namespace, Interval: cfg.EMF.Interval, Functions: s.dispatcher.Functions, Leads: s.deciding,
		Out: os.Stdout, Log: s.log,
	})
	// Last, because it has goroutines from the beginning.
	s.grpc, s.health = newDecider(s.part.server(cfg.Cell, log), grpc.ChainStreamInterceptor(s.unlessStandby))
	s.xds.Register(s.grpc)
	s.relays.leader.Register(s.grpc)
	extprocv3.RegisterExternalProcessorServer(s.grpc, extproc.New(s.dispatcher, log).Witnessed(s.tracer))
	return s, nil
}

// open makes the parts that can fail. The relay comes before the control socket: its lock makes sure that no other process
// uses the state directory.
func (s *Server) open(ctx context.Context, log logrus.FieldLogger) error {
	cfg := s.config
	providers, err := s.providers(ctx, cfg)
	if err != nil {
		return err
	}
	if cfg.Cell.Address == "" || cfg.Lease.Store == config.LeaseFile || cfg.Cell.SecretFile+cfg.Cell.TokenKeyFile == "" {
		if err := makeStateDir(cfg.StateDir, s.log); err != nil {
			return err
		}
	}
	if s.outside, err = readOutside(cfg, log); err != nil {
		return err
	}
	if err := s.enlist(); err != nil {
		return err
	}
	s.dispatcher = dispatch.New(dispatch.Options{
		Configuration: s.configuration(cfg, providers, s.outside.variable), Key: s.part.key, Signing: s.outside.signingKey, Log: log,
	})
	s.relays = newAttached(s.dispatcher, socketDir(cfg), log)
	if s.xds, err = xds.New(cfg, log); err != nil {
		return err
	}
	s.outside.follow(s.xds)
	options := admin.Options{
		Address: cfg.Admin.Address, Hosts: cfg.Admin.Hosts, Source: led{s.dispatcher, s}, Ready: s.ready, XDS: s.xdsStatus,
		Token: s.outside.admin, Files: func() admin.FilesStatus { return s.reloads.refused(s.outside.status()) }, Reloader: s.reloads,
		Version: Version(), Log: log,
	}
	before := s.predecessor()
	if !cfg.Relay.Apart {
		if s.outside.advertise, err = advertise(ctx, cfg.Relay); err != nil {
			return err
		}
		err := before.open(ctx, func() (err error) {
			s.relay, err = openOwnRelay(cfg.StateDir, relayConfig(cfg, s.outside, s.part.key), s.relays.leader, log)
			return err
		})
		if err != nil {
			return err
		}
		if err := s.openControl(); err != nil {
			return err
		}
		options.Relay = s.relayStatus
	} else {
		options.Leader = s.leaderStatus
	}
	if err := before.open(ctx, func() error { s.admin, err = admin.New(options); return err }); err != nil {
		return err
	}
	if cfg.Cell.Address != "" {
		if err := before.open(ctx, s.openControl); err != nil {
			return err
		}
	}
	s.elector, err = s.newElector(ctx)
	return err
}

// enlist makes the control plane a part of its cell. Where the relay is in the same process, only the next process checks its tokens.
func (s *Server) enlist() (err error) {
	cell := s.config.Cell
	if !s.config.Relay.Apart {
		s.part.key, err = keyIn(s.config.StateDir)
		return err
	}
	if cell.Address == "" && len(cell.ControlPlanes) > 0 {
		return errors.New("cell.address: must be set, because relays and Envoys look at cell.control_planes")
	}
	name, err := hostname()
	if err == nil {
		s.part, err = s.outside.readPart(s.config, identity.Control, string(name))
	}
	return err
}

// predecessor is the control plane that ran here before and may still be stopping. How long that takes is reckoned by this one's
// configuration.
func (s *Server) predecessor() *succession {
	return &succession{
		dir: s.config.StateDir, patience: s.config.Shutdown.Grace + s.dispatcher.DrainLimit() + lastSteps, log: s.log,
	}
}

// openOwnRelay opens a relay that attaches to a leader in this process. If the process before has crashed, its instances go on, and
// dial this one.
func openOwnRelay(dir string, config relay.Config, leader *uplink.Leader, log logrus.FieldLogger) (*ownRelay, error) {
	o := &ownRelay{}
	o.uplink = uplink.NewRelay(uplink.Options{
		Hello: tables.Hello{Relay: here, Boot: here, Build: Version()},
		Dials: map[string]uplink.Dial{here: leader.Here()},
		Dial:  func() []wire.Relay { return []wire.Relay{o.Advertised()} },
		Log:   log,
	})
	config.CAFile, config.Settled = filepath.Join(dir, relayCAFile), o.uplink.Settled
	var err error
	if o.Relay, err = relay.New(config, o.uplink, log); err != nil {
		return nil, err
	}
	o.uplink.Connect(o.Relay)
	if o.book, err = remember(dir, o.uplink); err != nil {
		return nil, errors.Join(err, closeOnly(o.Run))
	}
	return o, nil
}

// socketDir is where the endpoints' sockets are.
func socketDir(cfg *Config) string { return filepath.Join(cfg.StateDir, endpointsDir) }

// openControl opens the socket where Envoy and relays find the control plane that leads.
func (s *Server) openControl() (err error) {
	if address := s.config.Cell.Address; address != "" {
		if s.control, err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("cell.address: %w", err)
		}
		return nil
	}
	s.control, err = listenControl(filepath.Join(s.config.StateDir, controlSocket))
	if err == nil && s.relay == nil {
		keepPath(s.control)
	}
	return err
}

// close closes what open opened before it failed.
func (s *Server) close() {
	if s.admin != nil {
		_ = closeOnly(s.admin.Run)
	}
	if s.relay != nil {
		_ = errors.Join(closeOnly(s.relay.Run), s.relay.book.Close())
	}
	if s.control != nil {
		_ = s.control.Close()
	}
}

// closeOnly closes what a part has opened and not served yet: a run whose ctx has ended does nothing else.
func closeOnly(run func(context.Context) error) error {
	ended, end := context.WithCancel(context.Background())
	end()
	return run(ended)
}

// ControlAddr is where relays and Envoys reach this control plane, host:port. It is empty where they use a socket in the state
// directory.
func (s *Server) ControlAddr() string {
	if s.config.Cell.Address == "" {
		return ""
	}
	return s.control.Addr().String()
}

// newTracer returns the tracer of requests that Envoy traces.
func newTracer(cfg *Config, log logrus.FieldLogger) *tracing.Tracer {
	return tracing.New(cfg.Tracing.Endpoint, "lambda-dispatch", Version(), log)
}

// Names in the state directory.
const (
	controlSocket = xds.ControlSocket // where Envoy and relays find the control plane
	endpointsDir  = "e"               // of the endpoints' sockets
)

func relayConfig(cfg *Config, o *outside, key token.Key) relay.Config {
	c := relay.Config{
		Address:        cfg.Relay.Address,
		Advertise:      o.advertise,
		TLS:            relay.TLSMode(cfg.Relay.TLS),
		Dir:            socketDir(cfg),
		TunnelWait:     cfg.Relay.TunnelWait,
		MaxConnections: cfg.Relay.MaxConnections,
		Key:            key,
	}
	if o.relay != nil {
		c.Identity = o.relay.Get
	}
	return c
}

// AdminAddr is the admin address, host:port.
func (s *Server) AdminAddr() string { return s.admin.Address() }

// RelayAddr is where the relay listens, host:port; empty if it is a process of its own.
func (s *Server) RelayAddr() string {
	if s.relay == nil {
		return ""
	}
	return s.relay.Addr().String()
}

// Follow makes the server read the configuration again when its file changes, and when Reload is called. It is called before Run.
func (s *Server) Follow(source Source) { s.reloads.source = source }

// Reload reads the configuration again now. The log has the result, and why it was read.
func (s *Server) Reload(why string) { s.reloads.Reload(why) }

// reconfigure replaces the configuration in force by another valid one, except for keys that need a restart. After an error nothing
// has changed.
func (s *Server) reconfigure(cfg *Config) error {
	providers, err := s.providers(context.Background(), cfg)
	if err != nil {
		return err
	}
	outside, err := s.outside.read(cfg)
	if err != nil {
		return err
	}
	publish, err := s.xds.Prepare(cfg)
	if err != nil {
		return err
	}
	s.outside.take(outside)
	s.dispatcher.Configure(s.configuration(cfg, providers, outside))
	publish() // last: it leads requests to functions that are configured by now
	return nil
}

// configuration is what the dispatcher knows of one.
func (s *Server) configuration(cfg *Config, providers map[string]provider.Provider, outside variable) dispatch.Configuration {
	return dispatch.Configuration{
		Functions: cfg.Functions, Providers: providers, Pricing: cfg.Pricing, Budget: cfg.Budget, Accounts: s.accounts.of(cfg),
		Tokens: outside.tokensOf(),
	}
}

// providers prepares one provider for each function that is invoked. The API is opened once, and only when one is.
func (s *Server) providers(ctx context.Context, cfg *Config) (map[string]provider.Provider, error) {
	out := map[string]provider.Provider{}
	for _, f := range cfg.Functions {
		if f.Provider != config.ProviderLambda {
			continue
		}
		if s.api == nil {
			var err error
			if s.api, err = awslambda.New(ctx, cfg.AWS.Region, cfg.AWS.Endpoint); err != nil {
				return nil, err
			}
		}
		name := f.Lambda.FunctionName
		if name == "" {
			name = f.Name
		}
		out[f.Name] = s.api.Function(awslambda.Place{Region: f.Lambda.Region, Role: f.Lambda.AssumeRole}, name, f.Lambda.Qualifier)
	}
	return out, nil
}
