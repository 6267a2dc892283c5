package xds

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A state is what a configuration says, in Envoy's words.
type state struct {
	set       ResourceSet
	config    *config.Config
	functions []string                  // sorted
	secrets   []string                  // listeners with a certificate
	retired   map[string]types.Resource // routes of listeners with a health path, from Retire on
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

// resources are those of a type by name.
func (n *state) resources(url string) map[string]types.Resource {
	switch url {
	case resourcev3.ListenerType:
		return byName(n.set.Listeners)
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

// Prepare translates a configuration that may take the place of the one before, and changes nothing. What it returns makes it so,
// and returns at once. The Source must know the functions by then, and listeners have their certificates.
//
// Envoy hears only of what differs, in an order in which nothing leads to what is not there: clusters of new functions, and once
// it has them, routes and listeners. Clusters of functions that are gone stay for as long as the Source says that these leave.
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

// takeNext is what was prepared and committed last, once; nil: nothing was.
func (s *Server) takeNext() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.next
	s.next = nil
	return next
}

// learnsWithin is how long Envoys have to take the clusters of new functions, before routes lead there all the same: they may
// refuse them.
const learnsWithin = 2 * time.Second

// adopt begins to publish another state. It goes on in settle.
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

// settle publishes what leads to clusters, once every Envoy has them, or does not in time.
func (s *Server) settle() error {
	if !s.unsettled || !s.acks.all(s.awaited) && time.Now().Before(s.patience) {
		return nil
	}
	s.unsettled, s.awaited = false, nil
	if err := errors.Join(s.updateSecrets(false), s.updateRoutes(false)); err != nil {
		return err
	}
	if err := s.update(resourcev3.ListenerType, s.state.resources(resourcev3.ListenerType), true); err != nil {
		return err
	}
	// Now that no listener asks for them.
	if err := errors.Join(s.updateRoutes(true), s.updateSecrets(true)); err != nil {
		return err
	}
	return s.forgetFunctions(slices.Collect(maps.Keys(s.published)))
}

// settlesBy is when settle has waited for long enough; never, if it does not wait.
func (s *Server) settlesBy() <-chan time.Time {
	if !s.unsettled {
		return nil
	}
	return time.After(time.Until(s.patience))
}

// updateRoutes publishes routes, those of a control plane that may have retired; whole also takes back what is no more.
func (s *Server) updateRoutes(whole bool) error {
	routes := s.state.resources(resourcev3.RouteType)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired = s.state.retired; s.retires {
		maps.Copy(routes, s.retired)
	}
	return s.update(resourcev3.RouteType, routes, whole)
}

// update publishes what differs from what is published of a type; whole also takes back what is no more.
func (s *Server) update(url string, next map[string]types.Resource, whole bool) error {
	cache := s.caches[url]
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

// forgetFunctions takes back the clusters of those functions that are neither configured nor leaving.
func (s *Server) forgetFunctions(names []string) error {
	var leaving []string
	for _, name := range names {
		if s.state.has(name) || s.published[name] == nil {
			continue
		}
		if leaving == nil {
			leaving = append(s.source.Leaving(), "")
		}
		if slices.Contains(leaving, name) || s.unsettled { // routes may still lead there
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

// admit publishes functions that are not configured and leave, as they do after a takeover: Envoy must not lose the clusters of
// requests that are in flight.
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
