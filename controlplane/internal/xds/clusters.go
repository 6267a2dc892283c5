package xds

import (
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	leastrequestv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	overridehostv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/override_host/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// Limits of what Envoy holds in memory, in bytes. A slow reader costs about one window here and one buffer at the listener. Over
// the millisecond to a function in the same region, the window allows 256 MB/s.
const (
	upstreamStreamWindow = 256 << 10
	upstreamBuffer       = 256 << 10
	maxWindow            = 1<<31 - 1
)

const (
	httpOptionsName  = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	maxHeadersCount  = 1000
	unlimited        = 1_000_000       // a circuit breaker that never opens, because the pool bounds requests
	connectTimeout   = 5 * time.Second // a unix socket connects at once or not at all
	leastHeadersKiB  = 60              // Envoy's own default for answers
	upgradeSuffix    = "/upgrade"      // no function's name holds a slash
	overrideHostName = "envoy.load_balancing_policies.override_host"
	leastRequestName = "envoy.load_balancing_policies.least_request"
)

// cluster is the function's cluster: HTTP/2 over the sockets of its endpoints.
func cluster(cfg *config.Config, f config.Function) *clusterv3.Cluster {
	slots := f.Scaling.Slots()
	// Slow readers must not stall others on the same connection, so all streams' windows fit into the connection's.
	window := min(max(slots*upstreamStreamWindow, 1<<20), maxWindow)
	return edsCluster(f.Name, f.Name, &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
				MaxConcurrentStreams:        number(slots),
				InitialStreamWindowSize:     number(upstreamStreamWindow),
				InitialConnectionWindowSize: number(window),
				AllowConnect:                true,
				// One malformed answer resets its stream, not the connection that others share.
				OverrideStreamErrorOnInvalidHttpMessage: yes(),
			},
		},
	}, responseHeadersKiB(cfg, f))
}

// upgradeCluster is the twin cluster for upgrades (WebSocket): the same endpoints, with HTTP/1.1 and one request per connection.
func upgradeCluster(cfg *config.Config, f config.Function) *clusterv3.Cluster {
	return edsCluster(f.Name+upgradeSuffix, f.Name, &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{EnableTrailers: true},
		},
	}, responseHeadersKiB(cfg, f), oneRequestPerConnection)
}

func edsCluster(
	name, service string, protocol *upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig, headersKiB int,
	options ...func(*corev3.HttpProtocolOptions),
) *clusterv3.Cluster {
	common := &corev3.HttpProtocolOptions{
		// A connection lives as long as its tunnel: the relay closes it when the instance goes.
		IdleTimeout:          durationpb.New(0),
		MaxHeadersCount:      number(maxHeadersCount),
		MaxResponseHeadersKb: number(headersKiB),
	}
	for _, option := range options {
		option(common)
	}
	return &clusterv3.Cluster{
		Name:                          name,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:              &clusterv3.Cluster_EdsClusterConfig{EdsConfig: adsSource(), ServiceName: service},
		ConnectTimeout:                durationpb.New(connectTimeout),
		PerConnectionBufferLimitBytes: number(upstreamBuffer),
		LoadBalancingPolicy:           leasedElseLeastRequest(),
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			HealthyPanicThreshold: &typev3.Percent{Value: 0}, // never balance to an instance that is not ready
			UpdateMergeWindow:     durationpb.New(0),         // updates are merged before they are sent
		},
		CircuitBreakers: openBreakers(),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptionsName: pack(&upstreamsv3.HttpProtocolOptions{
			CommonHttpProtocolOptions: common,
			UpstreamProtocolOptions: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: protocol,
			},
		})},
	}
}

// oneRequestPerConnection keeps a connection that was not upgraded from occupying a tunnel, and from being reused just as the peer
// closes it.
func oneRequestPerConnection(o *corev3.HttpProtocolOptions) { o.MaxRequestsPerConnection = number(1) }

// leasedElseLeastRequest sends a request to the endpoint that its lease names, whatever its health. Without a lease, because no
// control plane answers, the load is balanced over the healthy endpoints.
func leasedElseLeastRequest() *clusterv3.LoadBalancingPolicy {
	return policy(overrideHostName, &overridehostv3.OverrideHost{
		OverrideHostSources: []*overridehostv3.OverrideHost_OverrideHostSource{{
			Metadata: &metadatav3.MetadataKey{
				Key: extproc.MetadataNamespace,
				Path: []*metadatav3.MetadataKey_PathSegment{{
					Segment: &metadatav3.MetadataKey_PathSegment_Key{Key: extproc.EndpointKey},
				}},
			},
		}},
		FallbackPolicy: policy(leastRequestName, &leastrequestv3.LeastRequest{}),
	})
}

func policy(name string, m proto.Message) *clusterv3.LoadBalancingPolicy {
	return &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{
		{TypedExtensionConfig: extension(name, m)},
	}}
}

func openBreakers() *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     number(unlimited),
		MaxPendingRequests: number(unlimited),
		MaxRequests:        number(unlimited),
		MaxRetries:         number(unlimited),
	}}}
}

// responseHeadersKiB is the limit for headers of the function's answers: the largest limit for requests of the listeners that
// route to it.
func responseHeadersKiB(cfg *config.Config, f config.Function) int {
	kib := leastHeadersKiB
	for _, l := range cfg.Listeners {
		if slices.ContainsFunc(f.Routes, func(r config.Route) bool { return r.Listener == "" || r.Listener == l.Name }) {
			kib = max(kib, l.MaxRequestHeaders)
		}
	}
	return kib
}
