package xds

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// withHealth puts the listener's health path, if it has one, before the routes of every host, because load balancers use the
// address as host.
func withHealth(routes *routev3.RouteConfiguration, l config.Listener, retired bool) *routev3.RouteConfiguration {
	if l.HealthPath == "" {
		return routes
	}
	for _, host := range routes.VirtualHosts {
		host.Routes = append([]*routev3.Route{health(l.HealthPath, retired)}, host.Routes...)
	}
	return routes
}

// health is the route of the health path, which Envoy answers by itself.
func health(path string, retired bool) *routev3.Route {
	const name = "health"
	match := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: path}}
	if retired {
		return refusal(name, match, 503, "The service is shutting down", "closed")
	}
	return &routev3.Route{
		Name:  name,
		Match: match,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 200,
			Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "ok\n"}},
		}},
	}
}

// retiredRoutes are the routes of listeners with a health path after Retire.
func retiredRoutes(cfg *config.Config) map[string]types.Resource {
	routes := map[string]types.Resource{}
	for _, l := range cfg.Listeners {
		if l.HealthPath != "" {
			routes[l.Name] = withHealth(routeConfiguration(cfg, l), l, true)
		}
	}
	return routes
}

// Retire makes the health paths of the listeners fail, so that load balancers send requests elsewhere. They fail until another
// control plane publishes its routes.
func (s *Server) Retire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retires = true
	if len(s.retired) == 0 {
		return nil
	}
	if err := s.caches[resourcev3.RouteType].UpdateResources(s.retired, nil); err != nil {
		return fmt.Errorf("xds: publish routes: %w", err)
	}
	return nil
}
