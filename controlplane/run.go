package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/patient"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

// Run serves until ctx ends or a part fails, and returns when all that it started has ended.
//
// The order at the end: first the configuration, which is not read any more; then everything serves on for the grace, while readiness
// and health paths fail; then the dispatcher stops, while everything else still works, so that requests in flight finish over
// their tunnels and the invocations end with a report; then the stream to Envoy, which has nothing left to ask; then xDS
// and the relay; at last the admin address, so that an operator can watch the rest.
func (s *Server) Run(ctx context.Context) error {
	if s.relay == nil {
		return s.runApart(ctx)
	}
	parts := newGroup()
	stopAdmin := parts.run("admin", s.admin.Run)
	stopRelay := parts.run("relay", s.relay.Run)
	stopUplink := parts.run("uplink", s.relay.uplink.Run)
	stopFiles := parts.run("files", s.outside.watch.Run)
	stopTracing := parts.run("tracing", s.tracer.Run)
	stopMetrics := parts.run("metrics for CloudWatch", s.metrics.Run)
	stopReloads := parts.run("configuration", s.reloads.Run)
	s.relays.lead(1)
	if ctx.Err() == nil {
		s.relays.await(ctx, []string{here})
		s.announce()
		s.dispatcher.Start()
	}
	stopXDS := parts.run("xds", func(ctx context.Context) error { return s.xds.Run(ctx, s.dispatcher) })
	stopControl := parts.run("control socket", s.serveControl)

	select {
	case <-ctx.Done():
	case <-parts.failed:
	}
	stopReloads()
	if ctx.Err() != nil {
		s.retire(parts.failed)
	}
	s.log.Info("control plane stops: instances drain")
	s.stopping.Store(true)
	s.shutdown()
	stopControl()
	stopMetrics()
	stopTracing()
	stopFiles()
	stopXDS()
	stopRelay()
	s.relays.leader.Resign()
	stopUplink()
	stopAdmin()
	return errors.Join(parts.wait(), s.relay.book.Close())
}

// announce tells where to find what runs, and what of it strangers may reach.
func (s *Server) announce() {
	s.log.WithFields(logrus.Fields{
		"admin": s.AdminAddr(), "relay": s.RelayAddr(), "functions": len(s.config.Functions),
	}).Info("control plane runs")
	if public := s.outside.signingKey().Public(); public != "" {
		s.log.WithField("public_key", public).Info("invocations are signed")
	}
	if s.outside.admin == nil && beyondLoopback(s.AdminAddr()) {
		s.log.WithField("admin", s.AdminAddr()).Warn("the admin address asks for no token, and other machines may reach it")
	}
	if s.config.Relay.TLS == config.RelayTLSOff && beyondLoopback(s.RelayAddr()) {
		s.log.WithField("relay", s.RelayAddr()).Warn("relay.tls is off: requests and tokens cross the network unencrypted")
	}
}

// beyondLoopback tells of an address that is listened on, ip:port, whether other machines may reach it.
func beyondLoopback(address string) bool {
	ipPort, err := netip.ParseAddrPort(address)
	return err == nil && !ipPort.Addr().Unmap().IsLoopback()
}

const (
	quiet        = time.Second            // nothing has come for so long: clients have gone elsewhere
	idleUpgrades = 500 * time.Millisecond // how long an upgraded connection is without a byte that is ended first
)

// retire tells load balancers to go elsewhere, and serves on until nothing comes any more, at most for the grace.
func (s *Server) retire(failed <-chan struct{}) {
	s.stopping.Store(true)
	if err := s.xds.Retire(); err != nil {
		s.log.WithError(err).Error("health paths do not fail")
	}
	grace := s.reloads.current().Shutdown.Grace
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	go func() {
		select {
		case <-failed:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.log.WithField("grace", grace).Info("control plane retires: requests are served until none come any more")
	s.dispatcher.Retire(ctx, quiet)
}

// shutdown gives the instances as long as the slowest of them may take, and a second more to say so. Upgraded connections
// that are idle would take all of it.
func (s *Server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), s.dispatcher.DrainLimit()+time.Second)
	defer cancel()
	var upgrades sync.WaitGroup
	upgrades.Go(func() { s.endIdleUpgrades(ctx) })
	s.dispatcher.Shutdown(ctx)
	cancel()
	upgrades.Wait()
}

func (s *Server) endIdleUpgrades(ctx context.Context) {
	ticker := time.NewTicker(idleUpgrades)
	defer ticker.Stop()
	for s.relay.EndIdleUpgrades(); ; s.relay.EndIdleUpgrades() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// serveControl serves Envoy on the control socket until ctx ends.
func (s *Server) serveControl(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.grpc.Stop)
	defer stop()
	defer s.grpc.Stop() // ends what it started before Serve, should the socket fail
	if err := s.grpc.Serve(patient.Listener(s.control, s.log)); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil // ctx ended before it began
}

// ready says whether requests may come here, and what Envoys know.
func (s *Server) ready() admin.Readiness {
	x := s.xds.Stats()
	r := admin.Readiness{Envoys: x.Connected}
	for _, one := range x.Refusals {
		r.Refused = append(r.Refused, admin.Refused(one))
	}
	r.Reason = s.unready(x)
	return r
}

// unready says why requests should not come here, yet or any more; empty when they may. An Envoy that has all it needs
// serves on when it refuses a later state of something.
func (s *Server) unready(x xds.Stats) string {
	switch {
	case s.stopping.Load():
		return "the control plane stops"
	case s.relay == nil && s.leads.Load() == 0:
		return "this control plane does not lead: it is a standby"
	case s.xds.Ready():
		return ""
	case x.Connected == 0 && x.LastLeft.IsZero():
		return "no Envoy has connected yet"
	case x.Connected == 0:
		return fmt.Sprintf("no Envoy is connected: the last one left %s ago", time.Since(x.LastLeft).Truncate(time.Second))
	case len(x.Refusals) > 0:
		first := x.Refusals[0]
		return fmt.Sprintf("an Envoy refuses its configuration, which is offered again: %s %s: %s", first.Service, first.Resource, first.Why)
	default:
		return "no Envoy has accepted its first configuration yet"
	}
}

// listenControl opens Envoy's socket. A stale one, whose process is gone, is replaced; that no other process uses the
// state directory was made sure by the relay's lock.
func listenControl(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

// A group is the parts of a running server. Each has its own stop, because the order matters.
type group struct {
	failed chan struct{} // closed when the first part ends by itself
	once   sync.Once
	parts  sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

func newGroup() *group { return &group{failed: make(chan struct{})} }

// run starts a part. The returned function ends its context and waits for it.
func (g *group) run(name string, part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	g.parts.Go(func() {
		defer close(done)
		err := part(ctx)
		if ctx.Err() == nil && err == nil {
			err = errors.New("ended by itself")
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			g.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
	return func() {
		cancel()
		<-done
	}
}

func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, err)
	g.once.Do(func() { close(g.failed) })
}

func (g *group) wait() error {
	g.parts.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}
