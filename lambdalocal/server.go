// Package lambdalocal is AWS Lambda on one machine. It serves the Invoke API to AWS SDKs. An environment is a group of ordinary
// processes, which call the Runtime API and the Extensions API as they do in Lambda. Environments are started cold, reused when
// idle, frozen between invocations, killed at the timeout, and shut down when idle for long.
package lambdalocal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/account"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/cgroup"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/code"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/direct"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/faults"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/guard"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/invokeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/link"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/patient"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/sandbox"
)

// closeGrace is how long answers to callers may still take after every invocation has ended.
const closeGrace = time.Second

// A Server serves the Invoke API and owns all environments. Its methods may be called from any goroutine, before, during
// and after Run.
type Server struct {
	log       logrus.FieldLogger
	fronts    []front
	names     []string // of functions, in the configuration's order
	functions map[string]*function.Function
	ledger    *ledger.Ledger
	links     []*link.Link // in the configuration's order
	listens   []string     // of the links, as configured
	faults    *faults.Set
	code      code.Store
	sandboxes *sandbox.Host // nil: environments share the machine
	groups    *cgroup.Host  // enforces those limits that the kernel lets it

	applying sync.Mutex // held while the faults of links are read and applied
}

// A front is a listener with the server on it. The first is the Invoke API, the second, if there is one, the direct one.
type front struct {
	listener net.Listener
	server   *http.Server
}

// New validates the configuration and opens the listeners; it starts nothing. Run must be called, if only to close them.
func New(cfg Config, log logrus.FieldLogger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log = log.WithField("component", "lambdalocal")
	s := &Server{log: log, functions: map[string]*function.Function{}, ledger: ledger.New(cfg.Prices.ofLedger())}
	s.faults = faults.NewSet(seed(cfg), s.applyToLinks)
	s.openSandboxes(cfg.Isolation)
	s.openGroups()
	shared := account.New(cfg.AccountConcurrency)
	w := wiring{cfg: cfg, account: shared, ledger: s.ledger, ports: &environment.Ports{}, log: log, enclosing: s.encloser(), groups: s.groups}
	for _, f := range cfg.Functions {
		if err := f.locate(); err != nil {
			return nil, errors.Join(err, s.closeFronts())
		}
		s.names = append(s.names, f.Name)
		f.warnOfMissing(log)
		s.functions[f.Name] = function.New(s.withFaults(f.Name, w.function(f)))
	}
	if err := s.listen("invoke API", cfg.Address, guard.New(cfg.Hosts, s.handler(cfg, shared))); err != nil {
		return nil, errors.Join(err, s.closeFronts())
	}
	if cfg.Direct.Address != "" {
		handler := &direct.Handler{Lookup: s.lookup, Log: log}
		if err := s.listen("direct front end", cfg.Direct.Address, handler); err != nil {
			return nil, errors.Join(err, s.closeFronts())
		}
	}
	if err := s.openLinks(cfg); err != nil {
		return nil, errors.Join(err, s.closeFronts())
	}
	return s, s.SetFaults(cfg.Faults...)
}

func (s *Server) listen(name, address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.fronts = append(s.fronts, front{listener, &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ConnContext: withConnection,
	}})
	return nil
}

// closeFronts closes a server that never runs, because New has failed.
func (s *Server) closeFronts() error {
	s.closeSurroundings()
	var errs []error
	for _, f := range s.fronts {
		errs = append(errs, f.listener.Close())
	}
	return errors.Join(errs...)
}

func (s *Server) handler(cfg Config, shared *account.Account) http.Handler {
	mux := http.NewServeMux()
	api := &invokeapi.Handler{
		Account: shared, AccountID: cfg.AccountID, Region: cfg.Region, Direct: s.DirectURL, Code: &s.code, Log: s.log,
	}
	for _, name := range s.names {
		api.Functions = append(api.Functions, s.functions[name])
	}
	api.Register(mux)
	s.registerInspection(mux)
	s.registerFaults(mux)
	mux.HandleFunc("GET /{$}", index)
	return mux
}

func (s *Server) lookup(name string) *function.Function { return s.functions[name] }

// Addr is the host:port of the Invoke API.
func (s *Server) Addr() string { return s.fronts[0].listener.Addr().String() }

// InvokeURL is the endpoint to give to an AWS SDK.
func (s *Server) InvokeURL() string { return "http://" + s.Addr() }

// Isolated says whether environments have a network and a /tmp of their own.
func (s *Server) Isolated() bool { return s.sandboxes != nil }

// DirectURL is where the direct front end serves: the function web under /web/. It is empty if that is not configured.
func (s *Server) DirectURL() string {
	if len(s.fronts) < 2 {
		return ""
	}
	return "http://" + s.fronts[1].listener.Addr().String()
}

// Run serves until ctx ends, or a listener fails, and returns when every process and goroutine has ended. It returns nil if ctx
// ended it.
func (s *Server) Run(ctx context.Context) error {
	log := s.log.WithFields(logrus.Fields{"address": s.Addr(), "functions": s.names})
	if url := s.DirectURL(); url != "" {
		log = log.WithField("direct", url)
	}
	log.Info("lambdalocal serves")
	cutLinks := s.runLinks()
	defer cutLinks() // last: environments that shut down still use the links
	defer s.faults.Close()
	for _, f := range s.functions {
		f.Start()
	}
	served := make(chan error, len(s.fronts))
	for _, f := range s.fronts {
		go func() { served <- f.server.Serve(patient.Listener(f.listener, s.log)) }()
	}
	running := len(s.fronts)
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		running--
	}
	err = errors.Join(err, s.close())
	for range running {
		<-served
	}
	s.closeSurroundings()
	err = errors.Join(err, s.code.Close())
	s.log.Info("lambdalocal has ended")
	return err
}

// close ends the environments first: their invocations end, which is what the callers' requests wait for.
func (s *Server) close() error {
	var all sync.WaitGroup
	for _, f := range s.functions {
		all.Go(f.Close)
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	var errs []error
	for _, f := range s.fronts {
		if f.server.Shutdown(ctx) != nil { // a caller does not read its answer
			errs = append(errs, f.server.Close())
		}
	}
	return errors.Join(errs...)
}
