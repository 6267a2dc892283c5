package controlplane

import (
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
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
		Refused: make(map[string]uint64, len(r.Dropped)),
	}
	for reason, n := range r.Dropped {
		out.Refused[reason.String()] = n
	}
	return out
}

func (s *Server) xdsStatus() admin.XDSStatus {
	x := s.xds.Stats()
	refused := map[string]int{"lds": 0, "rds": 0, "cds": 0, "eds": 0, "sds": 0}
	for _, one := range x.Refusals {
		refused[one.Service]++
	}
	return admin.XDSStatus{Envoys: x.Connected, Pushes: x.Pushes, Acks: x.Acks, Nacks: x.Nacks, Refused: refused}
}
