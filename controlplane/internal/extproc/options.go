package extproc

import (
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// ServerOptions returns the options of a gRPC server that carries ext_proc, and xDS beside it, for Envoys on this host.
// Every request is a stream that stays open as long as the request, so there is no limit on streams: the queue's limits
// and Envoy's own are the ones that count. Stream workers, larger buffers and fixed windows made no measurable difference.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(math.MaxUint32),
		// Envoy may ping as often as its operator likes; the default policy closes the connection, with every request.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		// An Envoy that hangs must not look connected for ever: leases wait for every Envoy's acknowledgement.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		// Stop returns after the last handler, so no lease outlives the server.
		grpc.WaitForHandlers(true),
	}
}
