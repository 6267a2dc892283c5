package controlplane

import (
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relay"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Version names the build: a release, or the revision that it was built from.
func Version() string { return wire.Build() }

func (s *Server) relayStatus() admin.RelayStatus { return relayStatus(s.relay.Relay) }

func relayStatus(one *relay.Relay) admin.RelayStatus {
	r := one.Stats()
	out := admin.RelayStatus{
		Strangers: int(r.Strangers), Admitted: int(r.Connections),
		IdleTunnels: int(r.TunnelsIdle), SplicedTunnels: int(r.Spliced), ControlStreams: int(r.Up),
		BytesToPeers: r.BytesToPeers, BytesFromPeers: r.BytesFromPeers,
		Refused: make(map[string]uint64, len(r.Dropped)), RefusedAt: make(map[string]time.Time, len(r.LastDropped)),
	}
	for reason, n := range r.Dropped {
		out.Refused[reason.String()] = n
	}
	for reason, at := range r.LastDropped {
		out.RefusedAt[reason.String()] = at
	}
	return out
}

func (s *Server) leaderStatus() admin.LeaderStatus {
	names, _ := s.relays.attached()
	l := admin.LeaderStatus{Term: s.leads.Load(), Relays: names, Leader: s.elector.Standing().Address}
	l.Lease = leaseStatus(s.elector.Health())
	if l.Leads = l.Term > 0; l.Leads {
		l.Took, l.Observed = time.Duration(s.took.Load()), s.relays.observed()
	}
	return l
}

func leaseStatus(h lease.Health) admin.LeaseStatus {
	out := admin.LeaseStatus{Age: h.Age, Detail: h.Why, Cause: string(h.Cause), Errors: map[string]uint64{}}
	for _, cause := range lease.Causes {
		out.Errors[string(cause)] = h.Errors[cause] // zeros too: a rate needs a value before the first one
	}
	return out
}

// led are the dispatcher's orders for operators, who must give them to the control plane that leads.
type led struct {
	*dispatch.Dispatcher
	server *Server
}

// deciding tells whether this control plane is the one that starts and ends instances.
func (s *Server) deciding() bool { return s.relay != nil || s.leads.Load() > 0 }

func (l led) order(give func() error) error {
	if !l.server.deciding() {
		return fmt.Errorf("%w: this control plane does not lead", operator.ErrNotPossible)
	}
	return give()
}

// DrainFunction implements admin.Source.
func (l led) DrainFunction(name string, atOnce bool) error {
	return l.order(func() error { return l.Dispatcher.DrainFunction(name, atOnce) })
}

// StartRollout implements admin.Source.
func (l led) StartRollout(name string, plan operator.RolloutPlan) error {
	return l.order(func() error { return l.Dispatcher.StartRollout(name, plan) })
}

// AbortRollout implements admin.Source.
func (l led) AbortRollout(name string) error {
	return l.order(func() error { return l.Dispatcher.AbortRollout(name) })
}

// RetryFunction implements admin.Source.
func (l led) RetryFunction(name string) error {
	return l.order(func() error { return l.Dispatcher.RetryFunction(name) })
}

// DrainInstance implements admin.Source.
func (l led) DrainInstance(id string) error {
	return l.order(func() error { return l.Dispatcher.DrainInstance(id) })
}

func (s *Server) xdsStatus() admin.XDSStatus {
	x := s.xds.Stats()
	refused := map[string]int{"lds": 0, "rds": 0, "cds": 0, "eds": 0, "sds": 0}
	for _, one := range x.Refusals {
		refused[one.Service]++
	}
	return admin.XDSStatus{Envoys: x.Connected, Pushes: x.Pushes, Acks: x.Acks, Nacks: x.Nacks, Refused: refused}
}
