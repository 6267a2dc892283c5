package xds_test

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

// decidesBy is the service that a listener's requests are decided by.
func decidesBy(t *testing.T, l *listenerv3.Listener) *corev3.GrpcService {
	t.Helper()
	manager := &hcmv3.HttpConnectionManager{}
	require.NoError(t, l.GetFilterChains()[0].GetFilters()[0].GetTypedConfig().UnmarshalTo(manager))
	for _, filter := range manager.GetHttpFilters() {
		processor := &extprocv3.ExternalProcessor{}
		if filter.GetTypedConfig().MessageIs(processor) {
			require.NoError(t, filter.GetTypedConfig().UnmarshalTo(processor))
			return processor.GetGrpcService()
		}
	}
	t.Fatal("no filter asks")
	return nil
}

// An Envoy whose bootstrap asks again about requests is not told to with every listener, which would cost it CPU for each request.
// All others are, those included whose bootstrap asks another cluster again.
func TestEnvoysThatDoNotAskAgainAreToldTo(t *testing.T) {
	cp := startControlPlane(t, "a")
	subscribe := func(metadata map[string]any) (listener func() *corev3.GrpcService) {
		e := cp.connect(t)
		fields, err := structpb.NewStruct(metadata)
		require.NoError(t, err)
		require.NoError(t, e.stream.Send(&discoveryv3.DeltaDiscoveryRequest{
			Node: &corev3.Node{Id: "e1", Metadata: fields}, TypeUrl: resourcev3.ListenerType,
		}))
		return func() *corev3.GrpcService {
			r := e.receive(resourcev3.ListenerType)
			require.NoError(t, e.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}))
			require.Len(t, r.GetResources(), 1)
			l := &listenerv3.Listener{}
			require.NoError(t, r.GetResources()[0].GetResource().UnmarshalTo(l))
			return decidesBy(t, l)
		}
	}
	ofToday := subscribe(map[string]any{"asks_again": "control", "team": "web"})
	others := []func() *corev3.GrpcService{
		subscribe(nil), subscribe(map[string]any{"asks_again": "control/decide"}), subscribe(map[string]any{"asks_again": true}),
	}
	for _, change := range []bool{false, true} {
		if change {
			cfg := functionsNamed("a")
			cfg.Listeners[0].TrustedHops++
			cp.configure(t, cfg)
		}
		require.Nil(t, ofToday().GetRetryPolicy())
		for _, listener := range others {
			require.NotNil(t, listener().GetRetryPolicy())
		}
	}
}

// A bootstrap asks again where, and as often as, the control plane tells Envoys to that do not.
func TestBootstrapsAskAgain(t *testing.T) {
	for name, cfg := range layouts() {
		boot := bootstrapOf(t, cfg)
		told := decidesBy(t, xds.Resources(cfg).Older[0])
		asked := boot.GetNode().GetMetadata().GetFields()["asks_again"].GetStringValue()
		require.Equal(t, told.GetEnvoyGrpc().GetClusterName(), asked, name)

		policy := policyOf(t, boot.GetStaticResources().GetClusters(), asked)
		require.Equal(t, told.GetRetryPolicy().GetRetryOn(), policy.GetRetryOn(), name)
		require.Equal(t, told.GetRetryPolicy().GetNumRetries().GetValue(), policy.GetNumRetries().GetValue(), name)
		require.Equal(t, told.GetRetryPolicy().GetRetryBackOff().GetBaseInterval().AsDuration(), policy.GetRetryBackOff().GetBaseInterval().AsDuration(), name)
		require.Equal(t, told.GetRetryPolicy().GetRetryBackOff().GetMaxInterval().AsDuration(), policy.GetRetryBackOff().GetMaxInterval().AsDuration(), name)
	}
}

func policyOf(t *testing.T, clusters []*clusterv3.Cluster, name string) *routev3.RetryPolicy {
	t.Helper()
	for _, c := range clusters {
		if c.GetName() == name {
			options := &httpv3.HttpProtocolOptions{}
			require.NoError(t, c.GetTypedExtensionProtocolOptions()["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].UnmarshalTo(options))
			return options.GetRetryPolicy()
		}
	}
	return nil
}
