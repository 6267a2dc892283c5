package xds

import (
	"context"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
)

// askedAgain is how many of our own requests may wait on a stream.
const askedAgain = 64

// A service is the aggregated discovery service, on whose streams we can insert requests of our own.
type service struct{ serverv3.Server }

// DeltaAggregatedResources implements the service.
func (s service) DeltaAggregatedResources(stream envoyStream) error {
	both := &bothStream{envoyStream: stream, received: make(chan received), again: make(again, askedAgain), known: map[string]bool{}}
	both.ctx = context.WithValue(stream.Context(), againKey{}, both.again)
	go both.receive()
	return s.Server.DeltaAggregatedResources(both)
}

// A bothStream receives Envoy's requests and ours.
type bothStream struct {
	envoyStream
	received chan received
	again    again
	ctx      context.Context

	// Owned by Recv's goroutine.
	known map[string]bool                    // type URLs that Envoy has asked for
	held  *discoveryv3.DeltaDiscoveryRequest // Recv returns it next
}

type envoyStream = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer

type received struct {
	request *discoveryv3.DeltaDiscoveryRequest
	err     error
}

// receive ends with the stream.
func (b *bothStream) receive() {
	for {
		request, err := b.envoyStream.Recv()
		select {
		case b.received <- received{request, err}:
		case <-b.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Recv implements the stream.
func (b *bothStream) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	if next := b.held; next != nil {
		b.held = nil
		return next, nil
	}
	select {
	case r := <-b.received:
		if r.err != nil {
			return nil, r.err
		}
		return b.afresh(r.request), nil
	case request := <-b.again:
		return request, nil
	case <-b.ctx.Done():
		return nil, b.ctx.Err()
	}
}

// afresh makes the server send the resources to which Envoy subscribes, even if it has sent them before. Envoy subscribes again
// to what it has dropped, for example the routes of a listener that could not open its port, but the server believes that Envoy
// has them. So they are unsubscribed first.
func (b *bothStream) afresh(r *discoveryv3.DeltaDiscoveryRequest) *discoveryv3.DeltaDiscoveryRequest {
	url, names := r.GetTypeUrl(), r.GetResourceNamesSubscribe()
	again := b.known[url] && len(names) > 0 && !whole(url)
	b.known[url] = true
	if !again {
		return r
	}
	b.held = r
	return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, ResourceNamesUnsubscribe: names}
}

// whole tells whether Envoy subscribes to all resources of a type, rather than to those that it names.
func whole(url string) bool { return url == resourcev3.ListenerType || url == resourcev3.ClusterType }

type againKey struct{}

// Context implements the stream. againOn finds the stream's again in it.
func (b *bothStream) Context() context.Context { return b.ctx }

// againOn returns the again of a stream from its context.
func againOn(ctx context.Context) again {
	a, _ := ctx.Value(againKey{}).(again)
	return a
}
