// Package lambdalocal is AWS Lambda on one machine: the Invoke API as AWS SDKs call it, in front of environments that are
// groups of ordinary processes, which call the Runtime API and the Extensions API as they do in Lambda. Environments are
// started cold, reused when idle, frozen between invocations, killed at the timeout, and shut down when idle for long.
package lambdalocal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/faults"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/invokeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/link"
)

// closeGrace is how long answers to callers may take when every invocation has ended.
const closeGrace = time.Second

// A Server serves the Invoke API and owns all environments. Its methods may be called from any goroutine, before, during
// and after Run.
type Server struct {
	log       logrus.FieldLogger
	listener  net.Listener
	http      *http.Server
	names     []string // of functions, in the configuration's order
	functions map[string]*function.Function
	links     []*link.Link // in the configuration's order
	listens   []string     // of the links, as configured
	faults    *faults.Set

	applying sync.Mutex // held from asking for the faults of links to the end of their application
}

// New validates the configuration and opens the listener; it starts nothing. Run must be called, if only to close it.
func New(cfg Config, log logrus.FieldLogger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log = log.WithField("component", "lambdalocal")
	s := &Server{log: log, functions: map[string]*function.Function{}}
	s.faults = faults.NewSet(seed(cfg), s.applyToLinks)
	ports := &environment.Ports{}
	for _, f := range cfg.Functions {
		dir, err := filepath.Abs(f.Dir)
		if err != nil {
			return nil, fmt.Errorf("function %s: dir: %w", f.Name, err)
		}
		f.Dir = dir
		s.names = append(s.names, f.Name)
		s.functions[f.Name] = function.New(s.functionConfig(cfg, f, ports))
	}
	listener, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("invoke API: %w", err)
	}
	s.listener = listener
	s.http = &http.Server{Handler: s.handler(cfg), ReadHeaderTimeout: 10 * time.Second, ConnContext: withConnection}
	if err := s.openLinks(cfg); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return s, s.SetFaults(cfg.Faults...)
}

func (s *Server) functionConfig(cfg Config, f Function, ports *environment.Ports) function.Config {
	return s.withFaults(f.Name, function.Config{
		Config: environment.Config{
			Function: f.Name, Region: cfg.Region, Handler: f.Handler, Command: f.Command, Extensions: f.Extensions,
			Dir: f.Dir, Env: f.Env, MemoryMB: f.MemoryMB, Timeout: f.Timeout, InitLimit: f.InitTimeout, Log: s.log,
		},
		MaxConcurrency: f.MaxConcurrency, ColdStart: f.ColdStartDelay.pick, IdleExpiry: f.IdleExpiry.pick, Ports: ports,
	})
}

func (s *Server) handler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	api := &invokeapi.Handler{Lookup: s.lookup, Region: cfg.Region, Account: cfg.AccountID, Log: s.log}
	api.Register(mux)
	s.registerInspection(mux)
	s.registerFaults(mux)
	return mux
}

func (s *Server) lookup(name string) invokeapi.Function {
	if f := s.functions[name]; f != nil {
		return f
	}
	return nil
}

// Addr is the host:port of the Invoke API.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// InvokeURL is the endpoint to give to an AWS SDK.
func (s *Server) InvokeURL() string { return "http://" + s.Addr() }

// Run serves until ctx ends, or the listener fails, and returns when every process and goroutine has ended. An end by ctx
// is no error.
func (s *Server) Run(ctx context.Context) error {
	s.log.WithFields(logrus.Fields{"address": s.Addr(), "functions": s.names}).Info("lambdalocal serves")
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	cutLinks := s.runLinks()
	defer cutLinks() // last: environments that shut down have something to say
	defer s.faults.Close()
	var err error
	select {
	case <-ctx.Done():
		err = s.close()
		<-served
	case err = <-served:
		err = errors.Join(err, s.close())
	}
	s.log.Info("lambdalocal has ended")
	return err
}

// close ends the environments first: their invocations end, which is what the callers' requests wait for.
func (s *Server) close() error {
	var functions sync.WaitGroup
	for _, f := range s.functions {
		functions.Go(f.Close)
	}
	functions.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close() // a caller does not read its answer
	}
	return nil
}
