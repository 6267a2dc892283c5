package xds_test

import (
	"context"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

// An interim serves Envoys that have nothing, for as long as somebody is to be served by it. All others are sent away.
func TestAnInterimServesNewcomers(t *testing.T) {
	log, lines := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	interim, dialer := &xds.Interim{}, bufconn.Listen(1<<20)
	server := grpc.NewServer()
	interim.Register(server)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(dialer) })
	t.Cleanup(func() { server.Stop(); running.Wait() })
	connect := func() *envoyClient { return (&controlPlane{dialer: dialer}).connect(t) }
	sentAway := func(e *envoyClient) {
		t.Helper()
		_, err := e.stream.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	}

	sentAway(connect())

	now, err := xds.New(testConfig(testFunction("web", config.Route{Path: "/web"})), log)
	require.NoError(t, err)
	endpoints := newPool()
	endpoints.set("web", up("/e/web-0"))
	alone, leads := context.WithCancel(t.Context())
	running.Go(func() { _ = now.Run(alone, endpoints) })
	interim.Use(now)
	newcomer := connect()
	newcomer.subscribe(resourcev3.ClusterType)
	newcomer.ack(newcomer.receive(resourcev3.ClusterType))
	newcomer.subscribe(resourcev3.EndpointType, "web")
	newcomer.ackUntil("web", 1)
	endpoints.set("web", up("/e/web-0"), up("/e/web-1"))
	interim.Changed("web")
	newcomer.ackUntil("web", 2)

	before := len(lines.AllEntries())
	configured := connect()
	configured.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: resourcev3.ClusterType, InitialResourceVersions: map[string]string{"web": "1"},
	})
	sentAway(configured)
	require.Len(t, lines.AllEntries(), before, "it comes again ten times a second")

	interim.Use(nil)
	leads()
	_, err = newcomer.stream.Recv()
	require.Error(t, err, "it asks whoever leads")
	interim.Changed("web") // nobody is told
}
