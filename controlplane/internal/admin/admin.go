// Package admin serves operators over HTTP: health, metrics, a small API and a status page. It asks for a token if it is given one, and
// refuses requests that a web page could make a browser send there.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/patient"
)

// Limits of a connection and of shutting down. Ordinary use stays far below them.
const (
	headerTimeout   = 5 * time.Second
	requestTimeout  = 10 * time.Second
	answerTimeout   = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	maxHeaderBytes  = 16 << 10
	maxBodyBytes    = 4 << 10
)

// Options are what New needs. Address and Log are required.
type Options struct {
	Address  string               // host:port; port 0 lets the system choose
	Hosts    []string             // names by which it may be called, beside localhost and its own; *.example.com for all below
	Token    func() string        // the one to ask for, as it is now; nil: none is asked for
	Source   Source               // nil: there is no API
	Ready    func() Readiness     // nil: always ready
	Relay    func() RelayStatus   // nil: no metrics of a relay
	Uplink   func() UplinkStatus  // nil: no metrics of a relay that runs by itself
	Leader   func() LeaderStatus  // nil: no metrics of who leads
	XDS      func() XDSStatus     // nil: no metrics of xDS
	Files    func() FilesStatus   // nil: no metrics of files
	Reloader Reloader             // nil: the configuration is not read again
	Registry *prometheus.Registry // where the metrics are registered and served from; nil: a new one
	Version  string               // of the build, for build_info
	Log      logrus.FieldLogger
}

// A Server serves the admin address.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      logrus.FieldLogger
}

// New registers the metrics and opens the address. It serves nothing before Run.
func New(o Options) (*Server, error) {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Ready == nil {
		o.Ready = func() Readiness { return Readiness{} }
	}
	if err := register(o); err != nil {
		return nil, fmt.Errorf("admin metrics: %w", err)
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w", err)
	}
	return &Server{
		listener: listener,
		http: &http.Server{
			Handler:           guard(o.Address, o.Hosts, bearer{o.Token}.require(routes(o))),
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       requestTimeout,
			WriteTimeout:      answerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ConnState:         newConnections().note,
		},
		log: o.Log.WithField("component", "admin"),
	}, nil
}

// Address returns where the server listens, with the port that the system chose.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Run serves until ctx ends, and then lets requests finish for a moment. It returns when everything that it started has ended. The
// error is nil unless serving failed before ctx ended.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(patient.Listener(s.listener, s.log)) }()
	s.log.WithField("address", s.Address()).Info("admin listens")
	select {
	case err := <-served:
		return fmt.Errorf("admin: %w", err)
	case <-ctx.Done():
	}
	s.shutdown()
	<-served
	return nil
}

func (s *Server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		_ = s.http.Close() // cuts what did not finish; there is nothing left to do about an error
	}
}
