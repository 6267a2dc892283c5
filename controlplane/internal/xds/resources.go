package xds

import (
	"errors"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Sockets in the state directory.
const (
	ControlSocket   = "control.sock"   // of the control plane that leads
	CaretakerSocket = "caretaker.sock" // of the relay's process
)

// A ResourceSet has all resources that depend only on the configuration, in a stable order. Endpoints are not in it.
type ResourceSet struct {
	Listeners []*listenerv3.Listener
	Older     []*listenerv3.Listener        // the same, for Envoys with an older bootstrap
	Routes    []*routev3.RouteConfiguration // one per listener, with its name
	Clusters  []*clusterv3.Cluster          // two per function: its own, and the twin for upgrades
}

// Resources translates a valid configuration into what Envoy is told.
func Resources(cfg *config.Config) ResourceSet {
	var set ResourceSet
	for _, l := range cfg.Listeners {
		set.Listeners = append(set.Listeners, listener(cfg, l, decisionService(cfg)))
		set.Older = append(set.Older, listener(cfg, l, olderDecisionService(cfg)))
		set.Routes = append(set.Routes, withHealth(routeConfiguration(cfg, l), l, false))
	}
	if traced(cfg) {
		set.Clusters = append(set.Clusters, collectorCluster(cfg))
	}
	for _, f := range cfg.Functions {
		set.Clusters = append(set.Clusters, cluster(cfg, f), upgradeCluster(cfg, f))
	}
	return set
}

// validate checks the rules that Envoy's types declare, as Envoy will.
func (s ResourceSet) validate() error {
	var errs []error
	for _, r := range slices.Concat(s.Listeners, s.Older) {
		errs = append(errs, r.ValidateAll())
	}
	for _, r := range s.Routes {
		errs = append(errs, r.ValidateAll())
	}
	for _, r := range s.Clusters {
		errs = append(errs, r.ValidateAll())
	}
	return errors.Join(errs...)
}

// adsSource says that a resource comes over the aggregated stream. Envoy waits for it without a limit, because an incomplete
// state is worse than none.
func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   durationpb.New(0),
	}
}

// pack wraps a message. It panics if that cannot be marshalled, which our messages always can.
func pack(m proto.Message) *anypb.Any {
	packed, err := anypb.New(m)
	if err != nil {
		panic("xds: " + err.Error())
	}
	return packed
}

func extension(name string, m proto.Message) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: pack(m)}
}

func number(n int) *wrapperspb.UInt32Value { return wrapperspb.UInt32(uint32(n)) }

func yes() *wrapperspb.BoolValue { return wrapperspb.Bool(true) }

// unlessZero leaves a field unset if the configuration sets no limit.
func unlessZero(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
