package xds

import (
	"io"
	"sync/atomic"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An Interim is the discovery service while nobody leads. It serves Envoys that have just started and have nothing yet. One that
// has a configuration keeps it, and waits for who leads next: what is said here may be older.
type Interim struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	now atomic.Pointer[Server]
}

// Register adds the discovery service to the gRPC server.
func (i *Interim) Register(g *grpc.Server) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, i)
}

// Use has new streams served from s; nil: none are. Streams that are open end when the Run of their Server does.
func (i *Interim) Use(s *Server) { i.now.Store(s) }

// DeltaAggregatedResources implements the service.
func (i *Interim) DeltaAggregatedResources(stream envoyStream) error {
	s := i.now.Load()
	if s == nil {
		return status.Error(codes.Unavailable, "nobody is configured here: a control plane leads, or there is nothing to serve")
	}
	n := &newcomer{envoyStream: stream}
	first, err := n.Recv() // the Server, and its log, hear only of those that it serves
	if err == nil {
		n.first = first
		err = s.service().DeltaAggregatedResources(n)
	}
	if n.configured.Load() {
		return status.Error(codes.Unavailable, "no control plane leads: keep what you have")
	}
	return err
}

// A newcomer is the stream of an Envoy that has nothing yet. It ends where one has something.
type newcomer struct {
	envoyStream
	first      *discoveryv3.DeltaDiscoveryRequest // Recv returns it next; nil: there is none. Owned by Recv's goroutine
	configured atomic.Bool
}

// Recv implements the stream.
func (n *newcomer) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	if first := n.first; first != nil {
		n.first = nil
		return first, nil
	}
	r, err := n.envoyStream.Recv()
	if len(r.GetInitialResourceVersions()) > 0 {
		n.configured.Store(true)
		return nil, io.EOF
	}
	return r, err
}

// Changed says that the function's endpoints may have changed.
func (i *Interim) Changed(function string) {
	if s := i.now.Load(); s != nil {
		s.Changed(function)
	}
}
