package extproc

import (
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// workers is how many goroutines are reused to serve streams. A new goroutine must grow its stack again, which was a tenth of this
// process's CPU. Streams beyond that number get a goroutine of their own.
const workers = 256

// Receive windows in bytes. A request's headers are a few hundred; xDS sends little more in this direction.
const (
	streamWindow = 64 << 10
	connWindow   = 16 << 20
)

// ServerOptions returns the options of a gRPC server that carries ext_proc, and xDS beside it, for Envoys on this host. Every
// request is a stream that stays open as long as the request, so there is no limit on streams: those of the queue and of Envoy
// count. Larger buffers made no measurable difference.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.NumStreamWorkers(workers),
		// Windows that adapt cost a ping for each burst of messages, in both processes.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		// Envoy pings twice a second, to notice a server that hangs. The default policy would close the connection for
		// that.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 100 * time.Millisecond, PermitWithoutStream: true}),
		// An Envoy that hangs must not look connected for ever: leases wait for every Envoy's acknowledgement.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		// Stop returns after the last handler, so no lease outlives the server.
		grpc.WaitForHandlers(true),
	}
}
