package xds

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A state is a configuration, translated into Envoy's resources.
type state struct {
	set       ResourceSet
	config    *config.Config
	functions []string                  // sorted
	secrets   []string                  // listeners with a certificate
	retired   map[string]types.Resource // routes of listeners with a health path after Retire
}

func stateOf(cfg *config.Config) (*state, error) {
	n := &state{set: Resources(cfg), config: cfg, secrets: secrets(cfg), retired: retiredRoutes(cfg)}
	if err := n.set.validate(); err != nil {
		return nil, fmt.Errorf("xds: %w", err)
	}
	for _, f := range cfg.Functions {
		n.functions = append(n.functions, f.Name)
	}
	slices.Sort(n.functions)
	return n, nil
}

func (n *state) has(function string) bool {
	_, found := slices.BinarySearch(n.functions, function)
	return found
}

// resources are the resources of a cache, by name.
func (n *state) resources(cache string) map[string]types.Resource {
	switch cache {
	case resourcev3.ListenerType:
		return byName(n.set.Listeners)
	case olderListeners:
		return byName(n.set.Older)
	case resourcev3.RouteType:
		return byName(n.set.Routes)
	case resourcev3.ClusterType:
		return byName(n.set.Clusters)
	}
	return nil
}

func byName[R types.ResourceWithName](list []R) map[string]types.Resource {
	out := make(map[string]types.Resource, len(list))
	for _, r := range list {
		out[r.GetName()] = r
	}
	return out
}

// Prepare translates another configuration, and changes nothing yet. commit makes it the present one, and returns at once. Before
// that the Source must know the functions, and listeners must have their certificates.
//
// Envoy is told only what has changed, in an order in which no route refers to a missing cluster: first clusters of new functions
// and, once Envoy has them, routes and listeners. Clusters of removed functions stay as long as the Source says that these are
// leaving.
func (s *Server) Prepare(cfg *config.Config) (commit func(), err error) {
	next, err := stateOf(cfg)
	if err != nil {
		return nil, err
	}
	return func() {
		s.mu.Lock()
		s.next = next
		s.mu.Unlock()
		s.nudge()
	}, nil
}

// takeNext returns the state that was last committed, once; nil if there is none.
func (s *Server) takeNext() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.next
	s.next = nil
	return next
}

// learnsWithin is how long routes wait for Envoys to acknowledge the clusters of new functions. Then they are published all the
// same, because an Envoy may refuse a cluster.
const learnsWithin = 2 * time.Second

// adopt begins to publish another state. settle publishes the rest.
func (s *Server) adopt(next *state) error {
	s.state = next
	s.acks.expect(expectations(next.set, next.functions, next.secrets))
	if err := s.update(resourcev3.ClusterType, next.resources(resourcev3.ClusterType), false); err != nil {
		return err
	}
	var fresh []string
	for _, name := range next.functions {
		if s.published[name] == nil {
			s.published[name] = newAssignment()
			s.unsent[name] = true
			fresh = append(fresh, name)
		}
	}
	s.awaited = append(slices.DeleteFunc(s.awaited, func(name string) bool { return !next.has(name) }), fresh...)
	s.patience = time.Now().Add(learnsWithin)
	s.unsettled = true
	return s.publish(fresh, false)
}

// settle publishes routes and listeners once every Envoy has the clusters, or learnsWithin is over.
func (s *Server) settle() error {
	if !s.unsettled || !s.acks.all(s.awaited) && time.Now().Before(s.patience) || time.Now().Before(s.opens) {
		return nil
	}
	if opens, err := s.breakCircles(); opens || err != nil {
		return err
	}
	s.unsettled, s.awaited = false, nil
	if err := errors.Join(s.updateSecrets(false), s.updateRoutes(false)); err != nil {
		return err
	}
	for _, listeners := range []string{resourcev3.ListenerType, olderListeners} {
		if err := s.update(listeners, s.state.resources(listeners), true); err != nil {
			return err
		}
	}
	// No listener needs the others any more.
	if err := errors.Join(s.updateRoutes(true), s.updateSecrets(true)); err != nil {
		return err
	}
	return s.forgetFunctions(slices.Collect(maps.Keys(s.published)))
}

// settlesBy fires when settle has waited for long enough. It is nil if settle does not wait.
func (s *Server) settlesBy() <-chan time.Time {
	switch {
	case !s.unsettled:
		return nil
	case time.Now().Before(s.opens):
		return time.After(time.Until(s.opens))
	default:
		return time.After(time.Until(s.patience))
	}
}

// closedFor is how long a listener is closed that breaks a circle. Envoys have acknowledged that by then.
const closedFor = 500 * time.Millisecond

// breakCircles closes a listener of each circle of those that take each other's addresses, for a moment: Envoy refuses an address that
// another listener has, so none of them could begin. It tells whether it did.
func (s *Server) breakCircles() (bool, error) {
	if !s.opens.IsZero() {
		s.opens = time.Time{}
		return false, nil
	}
	now := s.caches[resourcev3.ListenerType].GetResources()
	circles := circlesOf(addressesOf(now), addressesOf(s.state.resources(resourcev3.ListenerType)))
	if len(circles) == 0 {
		return false, nil
	}
	s.opens = time.Now().Add(closedFor)
	return true, errors.Join(
		s.caches[resourcev3.ListenerType].UpdateResources(nil, circles),
		s.caches[olderListeners].UpdateResources(nil, circles),
	)
}

// circlesOf returns one listener of each circle of those that take each other's addresses.
func circlesOf(now, next map[string]string) (one []string) {
	has := map[string]string{}
	for name, address := range now {
		has[address] = name
	}
	seen := map[string]bool{}
	for _, first := range slices.Sorted(maps.Keys(next)) {
		if now[first] == next[first] {
			continue
		}
		name := first
		for name != "" && !seen[name] {
			seen[name] = true
			name = has[next[name]]
		}
		if name == first && has[next[first]] != "" {
			one = append(one, first)
		}
	}
	return one
}

func addressesOf(listeners map[string]types.Resource) map[string]string {
	out := map[string]string{}
	for name, l := range listeners {
		at := l.(*listenerv3.Listener).GetAddress().GetSocketAddress()
		out[name] = net.JoinHostPort(at.GetAddress(), strconv.FormatUint(uint64(at.GetPortValue()), 10))
	}
	return out
}

// updateRoutes publishes routes; after Retire those of a retired control plane. whole also removes routes that the state does not
// have.
func (s *Server) updateRoutes(whole bool) error {
	routes := s.state.resources(resourcev3.RouteType)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired = s.state.retired; s.retires {
		maps.Copy(routes, s.retired)
	}
	return s.update(resourcev3.RouteType, routes, whole)
}

// update publishes the resources of a cache that have changed. whole also removes those that next does not have.
func (s *Server) update(key string, next map[string]types.Resource, whole bool) error {
	cache := s.caches[key]
	now := cache.GetResources()
	changed := map[string]types.Resource{}
	for name, r := range next {
		if old := now[name]; old == nil || !proto.Equal(old, r) {
			changed[name] = r
		}
	}
	var gone []string
	for name := range now {
		if whole && next[name] == nil {
			gone = append(gone, name)
		}
	}
	if len(changed)+len(gone) == 0 {
		return nil
	}
	if err := cache.UpdateResources(changed, gone); err != nil {
		return fmt.Errorf("xds: publish: %w", err)
	}
	return nil
}

// forgetFunctions removes the clusters of those functions that are neither configured nor leaving.
func (s *Server) forgetFunctions(names []string) error {
	var leaving []string
	for _, name := range names {
		if s.state.has(name) || s.published[name] == nil {
			continue
		}
		if leaving == nil {
			leaving = append(s.source.Leaving(), "")
		}
		if slices.Contains(leaving, name) || s.unsettled { // routes may still refer to them
			continue
		}
		delete(s.published, name)
		delete(s.unsent, name)
		delete(s.weights, name)
		s.acks.forget(name)
		if err := s.caches[resourcev3.ClusterType].UpdateResources(nil, []string{name, name + upgradeSuffix}); err != nil {
			return fmt.Errorf("xds: publish clusters: %w", err)
		}
		if err := s.caches[resourcev3.EndpointType].UpdateResources(nil, []string{name}); err != nil {
			return fmt.Errorf("xds: publish endpoints: %w", err)
		}
	}
	return nil
}

// admit publishes functions that are leaving without ever having been configured here, as after a takeover. Envoy must not lose the
// clusters of requests in flight.
func (s *Server) admit(names []string) error {
	for _, name := range names {
		if s.published[name] != nil {
			continue
		}
		f := config.DefaultFunction()
		f.Name, f.Routes = name, []config.Route{{}} // whichever listener the requests came from
		clusters := map[string]types.Resource{name: cluster(s.state.config, f), name + upgradeSuffix: upgradeCluster(s.state.config, f)}
		if err := s.update(resourcev3.ClusterType, clusters, false); err != nil {
			return err
		}
		s.published[name] = newAssignment()
		s.unsent[name] = true
	}
	return nil
}
