package xds_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

const patience = 30 * time.Second

// A pool stands in for the dispatcher: endpoints that a test sets, acknowledgements that it reads.
type pool struct {
	mu        sync.Mutex
	endpoints map[string][]upstream.Endpoint
	acked     map[string][]string
	reads     int
	leaving   []string
	connected []int
}

func newPool() *pool {
	return &pool{endpoints: make(map[string][]upstream.Endpoint), acked: make(map[string][]string)}
}

func (p *pool) Endpoints(function string, buf []upstream.Endpoint) []upstream.Endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	return append(buf, p.endpoints[function]...)
}

func (p *pool) Acked(function string, paths []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked[function] = paths
}

func (p *pool) Leaving() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// leave says which functions leave, and that these have changed.
func (p *pool) leave(functions ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = functions
}

func (p *pool) Connected(envoys int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = append(p.connected, envoys)
}

func (p *pool) connections() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.connected)
}

func (p *pool) set(function string, endpoints ...upstream.Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoints[function] = endpoints
}

func (p *pool) readCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reads
}

func (p *pool) known(function string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.acked[function])
}

func up(path string) upstream.Endpoint {
	return upstream.Endpoint{Path: path, Health: upstream.Healthy, Weight: 4}
}

// A control plane is a running server with what a test needs to drive it.
type controlPlane struct {
	*xds.Server
	*pool
	logs   *logtest.Hook
	dialer *bufconn.Listener
	crash  func() // ends it as a kill would: connections cut
}

func startControlPlane(t *testing.T, functions ...string) *controlPlane {
	t.Helper()
	var configured []config.Function
	for _, name := range functions {
		configured = append(configured, testFunction(name, config.Route{Path: "/" + name}))
	}
	return startConfigured(t, testConfig(configured...))
}

func startConfigured(t *testing.T, cfg *config.Config) *controlPlane {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	cp := &controlPlane{pool: newPool(), logs: hook, dialer: bufconn.Listen(1 << 20)}
	var err error
	cp.Server, err = xds.New(cfg, log)
	require.NoError(t, err)
	cp.serve(t, cp.dialer)
	return cp
}

// serve runs the server on the listener until the test ends, with other services beside it.
func (cp *controlPlane) serve(t *testing.T, on net.Listener, others ...func(*grpc.Server)) {
	t.Helper()
	server := grpc.NewServer()
	cp.Register(server)
	for _, register := range others {
		register(server)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(on) })
	running.Go(func() { _ = cp.Run(ctx, cp.pool) })
	cp.crash = func() {
		server.Stop()
		cancel()
		running.Wait()
	}
	t.Cleanup(func() {
		cancel()
		server.GracefulStop() // Run ends the streams
		running.Wait()
	})
}

// update changes a function's endpoints and says so.
func (cp *controlPlane) update(function string, endpoints ...upstream.Endpoint) {
	cp.set(function, endpoints...)
	cp.Changed(function)
}

func (cp *controlPlane) eventuallyKnown(t *testing.T, function string, paths ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return slices.Equal(cp.known(function), paths) }, patience, time.Millisecond,
		"every Envoy knows %v", paths)
}

// An envoyClient speaks Envoy's side of an aggregated delta stream, and does nothing that a test does not say.
type envoyClient struct {
	t      *testing.T
	conn   *grpc.ClientConn
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	close  func()
}

func (cp *controlPlane) connect(t *testing.T) *envoyClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///control",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return cp.dialer.DialContext(ctx) }))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	require.NoError(t, err)
	e := &envoyClient{t: t, conn: conn, stream: stream, close: sync.OnceFunc(func() { cancel(); _ = conn.Close() })}
	t.Cleanup(e.close)
	return e
}

func (e *envoyClient) send(r *discoveryv3.DeltaDiscoveryRequest) {
	e.t.Helper()
	r.Node = &corev3.Node{Id: "e1", Cluster: "test"}
	require.NoError(e.t, e.stream.Send(r))
}

func (e *envoyClient) subscribe(url string, names ...string) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, ResourceNamesSubscribe: names})
}

// receive waits for the next response and checks its type.
func (e *envoyClient) receive(url string) *discoveryv3.DeltaDiscoveryResponse {
	e.t.Helper()
	r, err := e.stream.Recv()
	require.NoError(e.t, err)
	require.Equal(e.t, url, r.GetTypeUrl())
	return r
}

func (e *envoyClient) ack(r *discoveryv3.DeltaDiscoveryResponse) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

func (e *envoyClient) nack(r *discoveryv3.DeltaDiscoveryResponse, detail string) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ErrorDetail: &statusv3.Status{Message: detail},
	})
}

// follow subscribes to a function's endpoints and acknowledges the first state.
func (e *envoyClient) follow(functions ...string) {
	e.t.Helper()
	e.subscribe(resourcev3.EndpointType, functions...)
	e.ack(e.receive(resourcev3.EndpointType))
}

// ackUntil acknowledges what comes until a response has n endpoints of the function, and returns that one.
func (e *envoyClient) ackUntil(function string, n int) *discoveryv3.DeltaDiscoveryResponse {
	e.t.Helper()
	for {
		r := e.receive(resourcev3.EndpointType)
		e.ack(r)
		if len(e.endpoints(r, function)) == n {
			return r
		}
	}
}

// endpoints returns what a response says about one function, by path.
func (e *envoyClient) endpoints(r *discoveryv3.DeltaDiscoveryResponse, function string) map[string]*endpointv3.LbEndpoint {
	e.t.Helper()
	found := make(map[string]*endpointv3.LbEndpoint)
	for _, resource := range r.GetResources() {
		if resource.GetName() != function {
			continue
		}
		assignment := &endpointv3.ClusterLoadAssignment{}
		require.NoError(e.t, resource.GetResource().UnmarshalTo(assignment))
		for _, locality := range assignment.GetEndpoints() {
			for _, endpoint := range locality.GetLbEndpoints() {
				found[endpoint.GetEndpoint().GetAddress().GetPipe().GetPath()] = endpoint
			}
		}
	}
	return found
}
