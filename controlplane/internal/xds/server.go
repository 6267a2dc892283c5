// Package xds is the xDS server for Envoy: it serves listeners, routes and clusters from the configuration, and endpoints from a
// Source. Protobuf stops here.
//
// Endpoints change all the time, and each push costs Envoy's main thread microseconds per endpoint. So changes are collected for
// a moment, sorted, and compared with what was published before they are pushed. Weights matter only while no control plane
// answers, so they are smoothed, and seldom pushed. A lease may name an endpoint only once Envoy has acknowledged it, so
// acknowledgements are tracked per stream and reported to the Source.
package xds

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	configv3 "github.com/envoyproxy/go-control-plane/pkg/server/config"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
)

// How changes are collected.
const (
	holdOff = 1500 * time.Microsecond // from the first change to the push that carries it
	// A push keeps Envoy's main thread busy for about 6 µs per endpoint; this spacing leaves it most of its time.
	pauseEndpoint = 20 * time.Microsecond
	pauseMax      = 250 * time.Millisecond
	weightsEvery  = time.Second // how often weights are sampled and, alone, worth a push
)

// A Server serves xDS to any number of Envoys, each over one aggregated delta stream.
type Server struct {
	// Static after New.
	deciders  string                          // the cluster of bootstraps that is asked about requests
	caches    map[string]*cachev3.LinearCache // by type URL; listeners for some are in olderListeners
	acks      *tracker
	log       logrus.FieldLogger
	populated chan struct{} // closed when the first full state is in the caches
	// streams ends with Run, and ends every open stream.
	streams    context.Context
	endStreams context.CancelFunc

	// Owned by Run.
	state       *state
	unsettled   bool            // routes and listeners wait until Envoys have the new clusters
	awaited     []string        // functions with these clusters
	patience    time.Time       // when they do not wait any longer
	unsent      map[string]bool // functions of which nothing is published yet
	source      upstream.Source
	published   map[string]*assignment
	buf         []upstream.Endpoint
	connected   int // Envoys that the Source was told about
	lastPush    time.Time
	opens       time.Time // until then listeners are closed that were in each other's way; zero: none are
	lastWeights time.Time
	weights     map[string]bool // functions whose weights must be sampled

	wake chan struct{} // capacity 1: there is something in dirty

	mu      sync.Mutex // guards the fields below
	dirty   map[string]bool
	next    *state                    // committed, but not adopted yet
	retires bool                      // Retire was called
	retired map[string]types.Resource // routes that Retire publishes

	certificates map[string]*tlsv3.Secret // all that were set, by listener
}

// New translates the configuration, which must be valid, and starts nothing. Changed and Register may be called before Run.
// Streams wait until Run has published the first full state.
func New(cfg *config.Config, log logrus.FieldLogger) (*Server, error) {
	first, err := stateOf(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		log:       log.WithField("component", "xds"),
		deciders:  deciders(cfg),
		state:     first,
		retired:   first.retired,
		unsent:    make(map[string]bool),
		populated: make(chan struct{}),
		published: make(map[string]*assignment),
		weights:   make(map[string]bool),
		wake:      make(chan struct{}, 1),
		dirty:     make(map[string]bool),

		certificates: make(map[string]*tlsv3.Secret),
	}
	for _, name := range first.functions {
		s.published[name] = newAssignment()
		s.unsent[name] = true
	}
	s.caches = caches(first.set)
	s.acks = newTracker(expectations(first.set, first.functions, first.secrets), s.log)
	s.streams, s.endStreams = context.WithCancel(context.Background())
	return s, nil
}

// caches makes the caches from which streams are served, with everything but endpoints and certificates.
func caches(set ResourceSet) map[string]*cachev3.LinearCache {
	return map[string]*cachev3.LinearCache{
		resourcev3.ListenerType: linear(resourcev3.ListenerType, set.Listeners),
		olderListeners:          linear(resourcev3.ListenerType, set.Older),
		resourcev3.RouteType:    linear(resourcev3.RouteType, set.Routes),
		resourcev3.ClusterType:  linear(resourcev3.ClusterType, set.Clusters),
		resourcev3.EndpointType: cachev3.NewLinearCache(resourcev3.EndpointType),
		resourcev3.SecretType:   cachev3.NewLinearCache(resourcev3.SecretType),
	}
}

func linear[R types.ResourceWithName](url string, resources []R) *cachev3.LinearCache {
	initial := make(map[string]types.Resource)
	for _, r := range resources {
		initial[r.GetName()] = r
	}
	return cachev3.NewLinearCache(url, cachev3.WithInitialResources(initial))
}

// Register adds the discovery service to the gRPC server. Streams end when Run does.
func (s *Server) Register(g *grpc.Server) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s.service())
}

func (s *Server) service() service {
	mux := &cachev3.MuxCache{
		Classify:      func(r *cachev3.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: s.cacheOf,
		Caches:        make(map[string]cachev3.Cache),
	}
	for url, c := range s.caches {
		mux.Caches[url] = c
	}
	return service{serverv3.NewServer(s.streams, mux, s.callbacks(), named())}
}

// named makes a request without names mean no resources, except for listeners and clusters. Envoy sends such a request if it has
// dropped what it was about to subscribe to.
func named() configv3.XDSOption {
	return configv3.DeactivateLegacyWildcardForTypes([]string{resourcev3.RouteType, resourcev3.EndpointType, resourcev3.SecretType})
}

// Changed says that the function's endpoints may have changed. It costs a map entry and never blocks.
func (s *Server) Changed(function string) {
	s.mu.Lock()
	s.dirty[function] = true
	s.mu.Unlock()
	s.nudge()
}

func (s *Server) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Ready tells whether an Envoy is connected that has acknowledged a full state: every listener, route, cluster and the
// endpoints of every function.
func (s *Server) Ready() bool { return s.acks.ready() }

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats { return s.acks.stats() }

// Run publishes the first full state, then every change, and reports acknowledgements to the source. It calls the source
// from this goroutine only, and returns when ctx ends.
func (s *Server) Run(ctx context.Context, source upstream.Source) error {
	defer s.endStreams()
	s.source = source
	if err := s.populate(); err != nil {
		return err
	}
	close(s.populated)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-s.acks.wake:
			s.report()
			if err := s.settle(); err != nil {
				return err
			}
			continue
		case <-s.settlesBy():
			if err := s.settle(); err != nil {
				return err
			}
			continue
		case <-s.offersDue():
			s.acks.offer(time.Now())
			continue
		case <-s.weightsDue():
			if err := s.publishWeights(); err != nil {
				return err
			}
			continue
		}
		if !s.collect(ctx) {
			return nil
		}
		if err := s.catchUp(); err != nil {
			return err
		}
	}
}

// populate publishes the first full state: the present configuration, and functions that a former leader has left.
func (s *Server) populate() error {
	if next := s.takeNext(); next != nil {
		if err := s.adopt(next); err != nil {
			return err
		}
	}
	if err := s.admit(s.source.Leaving()); err != nil {
		return err
	}
	if err := s.publish(slices.Sorted(maps.Keys(s.published)), false); err != nil {
		return err
	}
	return s.settle()
}

// catchUp publishes what has changed.
func (s *Server) catchUp() error {
	if next := s.takeNext(); next != nil {
		if err := s.adopt(next); err != nil {
			return err
		}
	}
	dirty := s.takeDirty()
	unknown := slices.DeleteFunc(slices.Clone(dirty), func(name string) bool { return s.published[name] != nil })
	if len(unknown) > 0 {
		leaving := s.source.Leaving()
		if err := s.admit(slices.DeleteFunc(unknown, func(name string) bool { return !slices.Contains(leaving, name) })); err != nil {
			return err
		}
	}
	if err := s.publish(dirty, false); err != nil {
		return err
	}
	if err := s.forgetFunctions(dirty); err != nil {
		return err
	}
	return s.settle()
}

// collect waits until the burst of changes that has begun may be pushed. Meanwhile it reports acknowledgements, because requests
// wait for them. It returns false if ctx has ended.
func (s *Server) collect(ctx context.Context) bool {
	timer := time.NewTimer(max(holdOff, time.Until(s.lastPush.Add(s.pause()))))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.acks.wake:
			s.report()
		case <-timer.C:
			return true
		}
	}
}

// pause is the least time between two pushes. It grows with what a push costs.
func (s *Server) pause() time.Duration {
	endpoints := 0
	for _, a := range s.published {
		endpoints += len(a.endpoints)
	}
	return min(time.Duration(endpoints)*pauseEndpoint, pauseMax)
}

func (s *Server) takeDirty() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	functions := slices.Sorted(maps.Keys(s.dirty))
	clear(s.dirty)
	return functions
}

// publish reads the functions' endpoints, and pushes the assignments that have changed. A change of weights alone waits for a
// call with sample.
func (s *Server) publish(functions []string, sample bool) error {
	changed := make(map[string]types.Resource)
	for _, name := range functions {
		a := s.published[name]
		if a == nil {
			continue // the function is unknown
		}
		s.buf = s.source.Endpoints(name, s.buf[:0])
		if a.update(s.buf, sample) || s.unsent[name] {
			changed[name] = a.resource(name)
			delete(s.unsent, name)
		}
		if a.drifting {
			s.weights[name] = true
		}
	}
	if len(changed) == 0 {
		return nil
	}
	s.lastPush = time.Now()
	if err := s.caches[resourcev3.EndpointType].UpdateResources(changed, nil); err != nil {
		return fmt.Errorf("xds: publish endpoints: %w", err)
	}
	return nil
}

// weightsDue fires when drifting weights must be sampled. It is nil if none drift.
func (s *Server) weightsDue() <-chan time.Time {
	if len(s.weights) == 0 {
		return nil
	}
	return time.After(time.Until(s.lastWeights.Add(weightsEvery)))
}

// offersDue fires when a refused resource must be offered again. It is nil if there is none.
func (s *Server) offersDue() <-chan time.Time {
	next := s.acks.nextOffer()
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

func (s *Server) publishWeights() error {
	s.lastWeights = time.Now()
	functions := slices.Sorted(maps.Keys(s.weights))
	clear(s.weights)
	return s.publish(functions, true)
}

// report tells the Source how many Envoys are connected, and which endpoints they know.
func (s *Server) report() {
	if n := s.acks.connected(); n != s.connected {
		s.connected = n
		s.source.Connected(n)
	}
	for function, paths := range s.acks.news() {
		s.source.Acked(function, paths)
	}
}
