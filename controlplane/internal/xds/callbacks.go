package xds

import (
	"context"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// callbacks tell the tracker what happens on the streams of go-control-plane's server. The state-of-the-world protocol is not
// served, because its acknowledgements do not say which endpoints they are about.
func (s *Server) callbacks() serverv3.Callbacks {
	return serverv3.CallbackFuncs{
		StreamOpenFunc: func(context.Context, int64, string) error {
			return status.Error(codes.Unimplemented, "use api_type DELTA_GRPC, as in bootstrap.yaml")
		},
		DeltaStreamOpenFunc:     s.streamOpened,
		DeltaStreamClosedFunc:   func(id int64, _ *corev3.Node) { s.acks.closed(id) },
		StreamDeltaRequestFunc:  s.requestReceived,
		StreamDeltaResponseFunc: s.responseSent,
	}
}

// streamOpened holds a stream until the first full state is there.
func (s *Server) streamOpened(ctx context.Context, id int64, _ string) error {
	select {
	case <-s.populated:
	case <-s.streams.Done():
		return status.Error(codes.Unavailable, "stopping")
	case <-ctx.Done():
		return ctx.Err()
	}
	s.acks.opened(id, againOn(ctx))
	return nil
}

// requestReceived makes an Envoy that reconnects get everything again. The versions that it remembers are of another stream,
// perhaps of another process. We must know exactly what it has, and receiving a state that it already has costs it little.
func (s *Server) requestReceived(id int64, r *discoveryv3.DeltaDiscoveryRequest) error {
	s.acks.received(id, r)
	for name := range r.GetInitialResourceVersions() {
		// Envoy has the resource, so it is removed if it does not exist any more. Without a version it is sent if it does.
		r.InitialResourceVersions[name] = ""
	}
	return nil
}

func (s *Server) responseSent(id int64, _ *discoveryv3.DeltaDiscoveryRequest, r *discoveryv3.DeltaDiscoveryResponse) {
	s.acks.sent(id, r)
}
