package xds

import (
	"encoding/json"
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"

	// Extensions that only the bootstrap names, known to protojson by import.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
)

// StaticConfig returns the bootstrap and everything that Envoy would be sent, except endpoints, as one JSON file. envoy.Validate
// can check it without a control plane. It is not for serving.
func StaticConfig(cfg *config.Config) ([]byte, error) {
	boot, err := readBootstrap(cfg)
	if err != nil {
		return nil, err
	}
	set := Resources(cfg)
	for i, l := range set.Listeners {
		if err := inlineRoutes(l, set.Routes[i]); err != nil {
			return nil, err
		}
		if tls := cfg.Listeners[i].TLS; tls != nil {
			withCertificate(l.GetFilterChains()[0], byFile(tls))
		}
	}
	boot.DynamicResources.LdsConfig, boot.DynamicResources.CdsConfig = nil, nil
	boot.StaticResources.Listeners = set.Listeners
	boot.StaticResources.Clusters = append(boot.StaticResources.Clusters, set.Clusters...)
	out, err := protojson.Marshal(boot)
	if err != nil {
		return nil, fmt.Errorf("static configuration: %w", err)
	}
	return out, nil
}

func readBootstrap(cfg *config.Config) (*bootstrapv3.Bootstrap, error) {
	text, err := envoy.Bootstrap(cfg.StateDir, "")
	if cfg.Cell.Split() {
		text, err = envoy.Split{StateDir: cfg.StateDir, ControlPlanes: cfg.Cell.ControlPlanes}.Bootstrap() // of TLS Envoy has files
	}
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("bootstrap.yaml: %w", err)
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("bootstrap.yaml: %w", err)
	}
	boot := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(asJSON, boot); err != nil {
		return nil, fmt.Errorf("bootstrap.yaml: %w", err)
	}
	return boot, nil
}

// inlineRoutes puts the routes into the listener, which would otherwise fetch them.
func inlineRoutes(l *listenerv3.Listener, routes *routev3.RouteConfiguration) error {
	filter := l.GetFilterChains()[0].GetFilters()[0]
	manager := &hcmv3.HttpConnectionManager{}
	if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
		return fmt.Errorf("listener %s: %w", l.GetName(), err)
	}
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: pack(manager)}
	return nil
}
