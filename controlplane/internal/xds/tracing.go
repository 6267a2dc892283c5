package xds

import (
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	samplersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

const (
	collectorName    = "tracing/collector" // no function's name holds a slash
	collectorTimeout = time.Second         // a slower collector loses spans, but delays no request
	envoyService     = "lambda-dispatch-envoy"
)

func traced(cfg *config.Config) bool { return cfg.Tracing.Endpoint != "" }

// tracing makes Envoy begin traces and continue those of clients. The span of the call to an instance is a child of the server
// span, and the parent of the app's spans.
func tracing(cfg *config.Config) *hcmv3.HttpConnectionManager_Tracing {
	if !traced(cfg) {
		return nil
	}
	return &hcmv3.HttpConnectionManager_Tracing{
		SpawnUpstreamSpan: yes(),
		RandomSampling:    &typev3.Percent{Value: 100}, // the sampler below decides
		CustomTags: []*tracingv3.CustomTag{
			requestTag("lambda_dispatch.instance", extproc.InstanceKey),
			requestTag("lambda_dispatch.queue_ms", extproc.QueueKey),
			requestTag("lambda_dispatch.start", extproc.StartKey),
			valueTag("lambda_dispatch.cause", "%RESPONSE_HEADER("+extproc.CauseHeader+")%"),
			// Envoy's own http.url has the query, and the rewritten path.
			valueTag("http.url", "%REQUEST_HEADER(X-FORWARDED-PROTO)%://%REQUEST_HEADER(:AUTHORITY)%%FILTER_STATE("+pathState+":PLAIN)%"),
		},
		Provider: &tracev3.Tracing_Http{
			Name: "envoy.tracers.opentelemetry",
			ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: pack(&tracev3.OpenTelemetryConfig{
				ServiceName: envoyService,
				Sampler:     sampler(cfg.Tracing.Sampling),
				GrpcService: &corev3.GrpcService{
					TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
						EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: collectorName},
					},
					Timeout: durationpb.New(collectorTimeout),
				},
			})},
		},
	}
}

// sampler follows the sampling decision of a traceparent, and makes one for requests without it.
func sampler(share float64) *corev3.TypedExtensionConfig {
	const million = 1_000_000
	return extension("envoy.tracers.opentelemetry.samplers.parent_based", &samplersv3.ParentBasedSamplerConfig{
		WrappedSampler: extension("envoy.tracers.opentelemetry.samplers.trace_id_ratio_based", &samplersv3.TraceIdRatioBasedSamplerConfig{
			SamplingPercentage: &typev3.FractionalPercent{
				Numerator: uint32(math.Round(share * million)), Denominator: typev3.FractionalPercent_MILLION,
			},
		}),
	})
}

// requestTag tags a span with a value that the control plane has set for its request.
func requestTag(name, key string) *tracingv3.CustomTag {
	return &tracingv3.CustomTag{Tag: name, Type: &tracingv3.CustomTag_Metadata_{Metadata: &tracingv3.CustomTag_Metadata{
		Kind: &metadatav3.MetadataKind{Kind: &metadatav3.MetadataKind_Request_{Request: &metadatav3.MetadataKind_Request{}}},
		MetadataKey: &metadatav3.MetadataKey{
			Key: extproc.MetadataNamespace,
			Path: []*metadatav3.MetadataKey_PathSegment{{
				Segment: &metadatav3.MetadataKey_PathSegment_Key{Key: key},
			}},
		},
	}}}
}

func valueTag(name, format string) *tracingv3.CustomTag {
	return &tracingv3.CustomTag{Tag: name, Type: &tracingv3.CustomTag_Value{Value: format}}
}

// decorator names the function's spans. The name is not sent to clients or apps.
func (r routed) decorator() *routev3.Decorator {
	if !r.traced {
		return nil
	}
	return &routev3.Decorator{Operation: r.function.Name, Propagate: wrapperspb.Bool(false)}
}

// collectorCluster is the cluster to which spans are sent.
func collectorCluster(cfg *config.Config) *clusterv3.Cluster {
	endpoint, _ := url.Parse(cfg.Tracing.Endpoint) // a valid configuration has one
	port, _ := strconv.ParseUint(endpoint.Port(), 10, 16)
	kind := clusterv3.Cluster_STRICT_DNS
	if _, err := netip.ParseAddr(endpoint.Hostname()); err == nil {
		kind = clusterv3.Cluster_STATIC
	}
	return &clusterv3.Cluster{
		Name:                 collectorName,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: kind},
		ConnectTimeout:       durationpb.New(collectorTimeout),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: collectorName,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
					Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
						Address: endpoint.Hostname(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
					}}},
				}},
			}}}},
		},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptionsName: pack(&upstreamsv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
						Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
					},
				},
			},
		})},
	}
}
