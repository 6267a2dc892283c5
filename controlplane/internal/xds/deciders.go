package xds

import (
	"path/filepath"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// With relay.apart two may decide about a request: the leader and, while there is none, the caretaker in the relay's process beside Envoy.
// Envoy finds out by health checks which one answers. If control planes are on other hosts, the bootstrap defines the cluster of this
// name, because only the bootstrap knows certificates.
const decidersName = "control/decide" // no function's name holds a slash

// Sockets in the state directory.
const (
	ControlSocket   = "control.sock"   // of the leader
	CaretakerSocket = "caretaker.sock" // of the relay's process
)

// How soon Envoy notices that a decider is gone, hangs, or is back.
const (
	checkEvery   = 250 * time.Millisecond
	checkTimeout = time.Second
	streamMost   = 100_000 // as in the bootstrap
)

// deciders names the cluster that Envoy asks about requests.
func deciders(cfg *config.Config) string {
	if cfg.Relay.Apart {
		return decidersName
	}
	return controlCluster
}

func decidersCluster(cfg *config.Config) *clusterv3.Cluster {
	socket := func(name string, priority uint32) *endpointv3.LocalityLbEndpoints {
		return &endpointv3.LocalityLbEndpoints{Priority: priority, LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
				Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: filepath.Join(cfg.StateDir, name)}}},
			}},
		}}}
	}
	return &clusterv3.Cluster{
		Name:                 decidersName,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(checkTimeout),
		CircuitBreakers:      openBreakers(),
		HealthChecks: []*corev3.HealthCheck{{
			Timeout: durationpb.New(checkTimeout), Interval: durationpb.New(checkEvery), NoTrafficInterval: durationpb.New(checkEvery),
			UnhealthyInterval: durationpb.New(checkEvery), UnhealthyThreshold: number(1), HealthyThreshold: number(1),
			HealthChecker: &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{}},
		}},
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			// With 0, requests would pass undecided while neither answers. With the default of 50, both would be asked while one does.
			HealthyPanicThreshold: &typev3.Percent{Value: 1},
		},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: decidersName,
			Endpoints:   []*endpointv3.LocalityLbEndpoints{socket(ControlSocket, 0), socket(CaretakerSocket, 1)},
		},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptionsName: pack(&upstreamsv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
						Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
							MaxConcurrentStreams: number(streamMost),
							// A control plane that hangs holds its requests. When the connection ends, Envoy asks the other one.
							ConnectionKeepalive: &corev3.KeepaliveSettings{
								Interval: durationpb.New(checkTimeout / 2), Timeout: durationpb.New(checkTimeout),
							},
						},
					},
				},
			},
		})},
	}
}
