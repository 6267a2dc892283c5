package lambdalocal

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/gateway"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/link"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/sandbox"
)

// openSandboxes leaves Server.sandboxes nil if environments are to share the machine, or must because the kernel permits no
// isolation.
func (s *Server) openSandboxes(isolation string) {
	if isolation == IsolationOff {
		return
	}
	host, err := sandbox.Open()
	if err != nil {
		s.log.WithError(err).Warn("environments are not isolated: they share this machine's network and /tmp, and sandbox.localdomain is unknown")
		return
	}
	s.sandboxes = host
}

// closeSurroundings removes sandboxes and control groups. All environments must have ended.
func (s *Server) closeSurroundings() {
	s.groups.Close()
	if s.sandboxes != nil {
		s.sandboxes.Close()
	}
}

// encloser returns, for a function, what makes the enclosures of its environments. It is nil if there are no sandboxes.
func (s *Server) encloser() func(Function) func(*environment.Config, string) (environment.Enclosure, error) {
	if s.sandboxes == nil {
		return nil
	}
	return func(f Function) func(*environment.Config, string) (environment.Enclosure, error) {
		return func(cfg *environment.Config, id string) (environment.Enclosure, error) {
			return s.sandboxes.New(sandbox.Spec{
				Task: cfg.Dir, Layers: f.Layers, Shared: sandbox.SharedBy(named(cfg)), TempMB: cfg.TempMB, Gateway: s.gateway(f.Name, id),
			})
		}
	}
}

// named are all texts of a function's configuration that may name a path of this machine.
func named(cfg *environment.Config) []string {
	texts := slices.Concat(append(slices.Clone(cfg.Processes), cfg.Command)...)
	for _, x := range cfg.Extensions {
		texts = append(texts, x.Argv...)
	}
	for _, value := range cfg.Env {
		texts = append(texts, value)
	}
	return texts
}

// gateway hands an environment's connections to a link over to that link, and tells it which environment they come from.
func (s *Server) gateway(function, id string) gateway.Gateway {
	intercept := func(to netip.AddrPort) func(context.Context, *net.TCPConn) {
		l := s.linkAt(to)
		if l == nil {
			return nil
		}
		return func(ctx context.Context, from *net.TCPConn) {
			l.Serve(ctx, from, link.Environment{ID: id, Function: function})
		}
	}
	return gateway.Gateway{Intercept: intercept, Log: s.log.WithFields(logrus.Fields{"function": function, "environment": id})}
}

// linkAt is the link that listens on the address, or on all addresses of this machine.
func (s *Server) linkAt(to netip.AddrPort) *link.Link {
	for _, l := range s.links {
		at, err := netip.ParseAddrPort(l.Addr())
		if err == nil && at.Port() == to.Port() && (at.Addr() == to.Addr() || at.Addr().IsUnspecified() && to.Addr().IsLoopback()) {
			return l
		}
	}
	return nil
}
