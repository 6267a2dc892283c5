package xds_test

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadyWhenAnEnvoyHasAcknowledgedEverything(t *testing.T) {
	cp := startControlPlane(t, "a", "b")
	e := cp.connect(t)
	for _, url := range []string{resourcev3.ClusterType, resourcev3.ListenerType} {
		e.subscribe(url)
		e.ack(e.receive(url))
	}
	e.subscribe(resourcev3.RouteType, "front")
	e.ack(e.receive(resourcev3.RouteType))
	e.follow("a")
	require.Eventually(t, func() bool { return total(cp.Stats().Acks) == 4 }, patience, time.Millisecond)
	require.False(t, cp.Ready(), "the endpoints of b are missing")

	e.follow("b")
	require.Eventually(t, cp.Ready, patience, time.Millisecond)
	stats := cp.Stats()
	require.Equal(t, map[string]uint64{"lds": 1, "rds": 1, "cds": 1, "eds": 2}, stats.Pushes)
	require.Equal(t, stats.Pushes, stats.Acks)
	require.Equal(t, 1, stats.Connected)

	e.close()
	require.Eventually(t, func() bool { return !cp.Ready() }, patience, time.Millisecond)
}

func total(counts map[string]uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

func TestChangesAreSortedAndPushedOnce(t *testing.T) {
	cp := startControlPlane(t, "a", "b")
	e := cp.connect(t)
	e.follow("a", "b")

	for i := range 50 {
		cp.set("a", up("/e/2"), up(fmt.Sprintf("/e/1%02d", i)))
		cp.set("b")
		cp.Changed("a")
		cp.Changed("b") // no change at all
	}
	cp.update("a", up("/e/2"), up("/e/1"), up("/e/3"))
	r := e.ackUntil("a", 3)
	require.Len(t, r.GetResources(), 1, "a alone has changed")
	cp.eventuallyKnown(t, "a", "/e/1", "/e/2", "/e/3")
	require.Less(t, cp.Stats().Pushes["eds"], uint64(20), "a burst of 51 changes")
}

func TestHealthIsPushedAndWeightIsQuantized(t *testing.T) {
	cp := startControlPlane(t, "a")
	cp.update("a", upstream.Endpoint{Path: "/e/1", Weight: 0})
	e := cp.connect(t)
	e.subscribe(resourcev3.EndpointType, "a")
	first := e.ackUntil("a", 1)
	require.Equal(t, corev3.HealthStatus_UNHEALTHY, e.endpoints(first, "a")["/e/1"].GetHealthStatus())
	require.EqualValues(t, 1, e.endpoints(first, "a")["/e/1"].GetLoadBalancingWeight().GetValue())

	for health, want := range map[upstream.Health]corev3.HealthStatus{
		upstream.Healthy: corev3.HealthStatus_HEALTHY, upstream.Draining: corev3.HealthStatus_DRAINING,
	} {
		cp.update("a", upstream.Endpoint{Path: "/e/1", Health: health, Weight: 11})
		r := e.receive(resourcev3.EndpointType)
		require.Equal(t, want, e.endpoints(r, "a")["/e/1"].GetHealthStatus())
		require.EqualValues(t, 8, e.endpoints(r, "a")["/e/1"].GetLoadBalancingWeight().GetValue())
		e.ack(r)
	}
}

func TestLeasesNameOnlyWhatEveryEnvoyHasAcknowledged(t *testing.T) {
	cp := startControlPlane(t, "a")
	first, second := cp.connect(t), cp.connect(t)
	first.follow("a")
	second.follow("a")

	cp.update("a", up("/e/1"))
	first.ack(first.receive(resourcev3.EndpointType))
	pending := second.receive(resourcev3.EndpointType)
	require.Eventually(t, func() bool { return total(cp.Stats().Acks) == 3 }, patience, time.Millisecond)
	require.Empty(t, cp.known("a"), "the second Envoy has not said so yet")
	second.ack(pending)
	cp.eventuallyKnown(t, "a", "/e/1")

	// An Envoy that is gone holds up nobody.
	second.close()
	require.Eventually(t, func() bool { return cp.Stats().Connected == 1 }, patience, time.Millisecond)
	cp.update("a", up("/e/1"), up("/e/2"))
	first.ack(first.receive(resourcev3.EndpointType))
	cp.eventuallyKnown(t, "a", "/e/1", "/e/2")
}

func TestANewEnvoyHoldsUpNobodyBeforeItServes(t *testing.T) {
	cp := startControlPlane(t, "a")
	first, second := cp.connect(t), cp.connect(t)
	first.follow("a")
	second.subscribe(resourcev3.EndpointType, "a")
	_ = second.receive(resourcev3.EndpointType) // and says nothing

	cp.update("a", up("/e/1"))
	first.ack(first.receive(resourcev3.EndpointType))
	cp.eventuallyKnown(t, "a", "/e/1")
}

func TestAReconnectingEnvoyCountsFromItsFirstRequest(t *testing.T) {
	cp := startControlPlane(t, "a")
	first := cp.connect(t)
	first.follow("a")
	cp.update("a", up("/e/1"))
	first.ack(first.receive(resourcev3.EndpointType))
	cp.eventuallyKnown(t, "a", "/e/1")

	second := cp.connect(t)
	second.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl:                 resourcev3.EndpointType,
		ResourceNamesSubscribe:  []string{"a", "removed"},
		InitialResourceVersions: map[string]string{"a": "from another life", "removed": "too"},
	})
	cp.eventuallyKnown(t, "a")
	r := second.receive(resourcev3.EndpointType)
	require.Equal(t, []string{"/e/1"}, slices.Collect(maps.Keys(second.endpoints(r, "a"))))
	require.Equal(t, []string{"removed"}, r.GetRemovedResources())
	second.ack(r)
	cp.eventuallyKnown(t, "a", "/e/1")
}

func TestTheLastAnswerStandsWhileNoEnvoyIsConnected(t *testing.T) {
	cp := startControlPlane(t, "a")
	e := cp.connect(t)
	e.follow("a")
	cp.update("a", up("/e/1"))
	e.ack(e.receive(resourcev3.EndpointType))
	cp.eventuallyKnown(t, "a", "/e/1")
	e.close()
	require.Eventually(t, func() bool { return cp.Stats().Connected == 0 }, patience, time.Millisecond)
	reads := cp.readCount()
	cp.update("a", up("/e/1"), up("/e/2"))
	require.Eventually(t, func() bool { return cp.readCount() > reads }, patience, time.Millisecond)
	require.Equal(t, []string{"/e/1"}, cp.known("a"))
	e = cp.connect(t)
	e.subscribe(resourcev3.EndpointType, "a")
	e.ackUntil("a", 2)
	cp.eventuallyKnown(t, "a", "/e/1", "/e/2")
}

// The pool hears of each Envoy that comes or goes.
func TestEnvoysThatComeAndGoAreReported(t *testing.T) {
	cp := startControlPlane(t, "a")
	require.Empty(t, cp.connections(), "none has been there")
	told := func(want ...int) {
		require.Eventually(t, func() bool { return slices.Equal(want, cp.connections()) }, patience, time.Millisecond)
	}
	first := cp.connect(t)
	first.subscribe(resourcev3.ClusterType)
	told(1)
	second := cp.connect(t)
	second.subscribe(resourcev3.ClusterType)
	told(1, 2)
	first.close()
	told(1, 2, 1)
	second.close()
	told(1, 2, 1, 0)
}

func TestARefusalIsLoggedAndLeavesWhatWasKnown(t *testing.T) {
	cp := startControlPlane(t, "a")
	e := cp.connect(t)
	e.follow("a")
	cp.update("a", up("/e/1"))
	e.ack(e.receive(resourcev3.EndpointType))
	cp.eventuallyKnown(t, "a", "/e/1")

	cp.update("a", up("/e/1"), up("/e/2"))
	e.nack(e.receive(resourcev3.EndpointType), "no such thing")
	require.Eventually(t, func() bool { return total(cp.Stats().Nacks) == 1 }, patience, time.Millisecond)
	require.Eventually(t, func() bool {
		entry := cp.logs.LastEntry()
		return entry.Level == logrus.ErrorLevel && entry.Data["detail"] == "no such thing" && entry.Data["service"] == "eds"
	}, patience, time.Millisecond)
	require.Equal(t, []string{"/e/1"}, cp.known("a"))
	refusals := cp.Stats().Refusals
	require.Len(t, refusals, 1)
	require.Equal(t, xds.Refusal{Envoy: "test/e1", Service: "eds", Resource: "a", Why: "no such thing", Since: refusals[0].Since, Offers: 1}, refusals[0])

	cp.update("a", up("/e/3"))
	e.ack(e.receive(resourcev3.EndpointType))
	cp.eventuallyKnown(t, "a", "/e/3")
	require.Empty(t, cp.Stats().Refusals)
}

// Scenario 47: what was refused is offered again, each resource by itself, to the Envoy that refused it and to no other.
func TestWhatWasRefusedIsOfferedAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	for url, names := range map[string][]string{
		resourcev3.ClusterType: nil, resourcev3.ListenerType: {"*"}, resourcev3.EndpointType: {"a", "b"}, resourcev3.RouteType: {"front"},
	} {
		t.Run(url, func(t *testing.T) {
			cp := startControlPlane(t, "a", "b")
			content, refuser := cp.connect(t), cp.connect(t)
			for _, e := range []*envoyClient{content, refuser} {
				e.subscribe(url, names...)
			}
			content.ack(content.receive(url))
			first := refuser.receive(url)
			refuser.nack(first, "the first time")
			refused := map[string]bool{}
			for range 2 * len(first.GetResources()) {
				again := refuser.receive(url)
				require.Len(t, again.GetResources(), 1)
				require.Empty(t, again.GetRemovedResources())
				resource := again.GetResources()[0]
				require.True(t, slices.ContainsFunc(first.GetResources(), func(r *discoveryv3.Resource) bool {
					return r.GetName() == resource.GetName() && proto.Equal(r.GetResource(), resource.GetResource())
				}), "the same")
				if refused[resource.GetName()] {
					refuser.ack(again)
				} else {
					refuser.nack(again, "once more")
				}
				refused[resource.GetName()] = true
			}
			require.Eventually(t, func() bool { return len(cp.Stats().Refusals) == 0 }, patience, time.Millisecond)
			require.EqualValues(t, 2+2*len(first.GetResources()), total(cp.Stats().Pushes), "nothing to the other one")
		})
	}
}

// An Envoy whose listener cannot open its port drops the listener's route, before or after it has asked for it, and subscribes
// again when the listener is added again.
func TestWhatIsSubscribedToAgainIsSentAgain(t *testing.T) {
	cp := startControlPlane(t, "a", "b")
	e := cp.connect(t)
	e.subscribe(resourcev3.RouteType) // to nothing any more
	for range 2 {
		e.subscribe(resourcev3.RouteType, "front")
		r := e.receive(resourcev3.RouteType)
		require.Len(t, r.GetResources(), 1)
		e.ack(r)
	}
	e.follow("a", "b")
	e.subscribe(resourcev3.EndpointType, "b")
	r := e.receive(resourcev3.EndpointType)
	require.Len(t, r.GetResources(), 1)
	require.Equal(t, "b", r.GetResources()[0].GetName())
}

func TestStateOfTheWorldStreamsAreRefused(t *testing.T) {
	cp := startControlPlane(t, "a")
	conn := cp.connect(t)
	sotw, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn.conn).StreamAggregatedResources(t.Context())
	require.NoError(t, err)
	_, err = sotw.Recv()
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

// The rest is about time, which the test owns: a server that no Envoy is connected to.
func runAlone(t *testing.T, source *pool) *xds.Server {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := xds.New(testConfig(testFunction("a", config.Route{})), log)
	require.NoError(t, err)
	go func() { _ = s.Run(t.Context(), source) }()
	synctest.Wait()
	return s
}

func TestABurstIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newPool()
		s := runAlone(t, source)
		require.Equal(t, 1, source.readCount(), "the first full state")
		for range 100 {
			s.Changed("a")
			time.Sleep(10 * time.Microsecond)
		}
		time.Sleep(2 * time.Millisecond)
		require.Equal(t, 2, source.readCount())
		time.Sleep(time.Hour)
		require.Equal(t, 2, source.readCount(), "nothing changes, nothing is read")
	})
}

func TestManyEndpointsArePushedAtADistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newPool()
		many := make([]upstream.Endpoint, 1000)
		for i := range many {
			many[i] = up(fmt.Sprintf("/e/%04d", i))
		}
		source.set("a", many...)
		s := runAlone(t, source)
		reads := source.readCount()
		s.Changed("a")
		time.Sleep(10 * time.Millisecond)
		require.Equal(t, reads, source.readCount(), "too soon after the last push")
		time.Sleep(15 * time.Millisecond)
		require.Equal(t, reads+1, source.readCount())
	})
}

func TestWeightsAreSampledSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newPool()
		source.set("a", upstream.Endpoint{Path: "/e/1", Health: upstream.Healthy, Weight: 1})
		s := runAlone(t, source)
		source.set("a", upstream.Endpoint{Path: "/e/1", Health: upstream.Healthy, Weight: 100})
		s.Changed("a")
		time.Sleep(5 * time.Millisecond)
		before := source.readCount()
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, source.readCount()-before, 10, "once a second")
		time.Sleep(time.Hour)
		before = source.readCount()
		time.Sleep(time.Hour)
		require.Equal(t, before, source.readCount(), "not at all once it has settled")
	})
}
