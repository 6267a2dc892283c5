package xds_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
)

func (cp *controlPlane) configure(t *testing.T, cfg *config.Config) {
	t.Helper()
	commit, err := cp.Prepare(cfg)
	require.NoError(t, err)
	commit()
}

func functionsNamed(names ...string) *config.Config {
	var all []config.Function
	for _, name := range names {
		all = append(all, testFunction(name, config.Route{Path: "/" + name}))
	}
	return testConfig(all...)
}

// takes acknowledges the first state of everything, as Envoy does, and returns what the names' versions are.
func (e *envoyClient) takes(functions ...string) map[string]string {
	e.t.Helper()
	versions := map[string]string{}
	for _, url := range []string{resourcev3.ClusterType, resourcev3.ListenerType} {
		e.subscribe(url)
		e.took(url, versions)
	}
	e.subscribe(resourcev3.RouteType, "front")
	e.took(resourcev3.RouteType, versions)
	e.subscribe(resourcev3.EndpointType, functions...)
	e.took(resourcev3.EndpointType, versions)
	return versions
}

// took acknowledges a response, and returns its names, those that it takes back with a minus before.
func (e *envoyClient) took(url string, versions map[string]string) []string {
	e.t.Helper()
	r := e.receive(url)
	e.ack(r)
	return namesIn(r, versions)
}

func namesIn(r *discoveryv3.DeltaDiscoveryResponse, versions map[string]string) []string {
	var names []string
	for _, one := range r.GetResources() {
		names = append(names, one.GetName())
		versions[r.GetTypeUrl()+one.GetName()] = one.GetVersion()
	}
	for _, name := range r.GetRemovedResources() {
		names = append(names, "-"+name)
	}
	slices.Sort(names)
	return names
}

// Routes lead to a new function once Envoy has its cluster, and what Envoy has of others it is not sent again.
func TestANewFunctionComesClusterFirst(t *testing.T) {
	cp := startControlPlane(t, "a")
	e := cp.connect(t)
	versions := e.takes("a")
	require.Eventually(t, cp.Ready, patience, time.Millisecond)
	cp.configure(t, functionsNamed("a", "b"))

	clusters := e.receive(resourcev3.ClusterType)
	require.Equal(t, []string{"b", "b/upgrade"}, namesIn(clusters, versions))
	require.True(t, cp.Ready(), "what it has serves on")
	e.ack(clusters)
	e.subscribe(resourcev3.EndpointType, "b")
	require.Equal(t, []string{"b"}, e.took(resourcev3.EndpointType, versions))
	require.Equal(t, []string{"front"}, e.took(resourcev3.RouteType, versions))

	cp.configure(t, functionsNamed("a", "b"))
	cp.update("b", up("/e/b"))
	require.Equal(t, []string{"b"}, e.took(resourcev3.EndpointType, versions), "the same again is no change")
}

// A function that is gone has no route, and its cluster stays until the last request has ended.
func TestAFunctionThatLeavesKeepsItsCluster(t *testing.T) {
	cp := startControlPlane(t, "a", "b")
	e := cp.connect(t)
	versions := e.takes("a", "b")
	cp.leave("b")
	cp.configure(t, functionsNamed("a"))
	require.Equal(t, []string{"front"}, e.took(resourcev3.RouteType, versions))
	cp.update("b", up("/e/b"))
	require.Equal(t, []string{"b"}, e.took(resourcev3.EndpointType, versions), "it has instances, which drain")
	cp.leave()
	cp.Changed("b")
	require.Equal(t, []string{"-b", "-b/upgrade"}, e.took(resourcev3.ClusterType, versions))
	require.Equal(t, []string{"-b"}, e.took(resourcev3.EndpointType, versions))

	cp.set("b")
	cp.configure(t, functionsNamed("a", "b"))
	require.Equal(t, []string{"b", "b/upgrade"}, e.took(resourcev3.ClusterType, versions))
	require.Equal(t, []string{"b"}, e.took(resourcev3.EndpointType, versions))
	require.Equal(t, []string{"front"}, e.took(resourcev3.RouteType, versions))
	cp.update("b", up("/e/b"))
	e.ackUntil("b", 1)
	cp.eventuallyKnown(t, "b", "/e/b")
}

// After a takeover functions may leave of which only instances are known. Envoy must not lose their clusters.
func TestAFunctionThatOnlyLeaves(t *testing.T) {
	cp := startControlPlane(t, "a")
	e := cp.connect(t)
	versions := e.takes("a")
	cp.leave("old")
	cp.update("old", up("/e/old"))
	require.Equal(t, []string{"old", "old/upgrade"}, e.took(resourcev3.ClusterType, versions))
	e.subscribe(resourcev3.EndpointType, "old")
	require.Equal(t, []string{"old"}, e.took(resourcev3.EndpointType, versions))
	cp.leave()
	cp.Changed("old")
	require.Equal(t, []string{"-old", "-old/upgrade"}, e.took(resourcev3.ClusterType, versions))
}

// A listener that is new finds its routes, and one that is gone is closed before its routes are.
func TestListenersComeAndGo(t *testing.T) {
	cp := startControlPlane(t, "a")
	e := cp.connect(t)
	versions := e.takes("a")
	two := functionsNamed("a")
	two.Listeners = append(two.Listeners, config.Listener{Name: "other", Address: "127.0.0.1:8081"})
	cp.configure(t, two)
	require.Equal(t, []string{"other"}, e.took(resourcev3.ListenerType, versions))
	e.subscribe(resourcev3.RouteType, "other")
	require.Equal(t, []string{"other"}, e.took(resourcev3.RouteType, versions))
	cp.configure(t, functionsNamed("a"))
	require.Equal(t, []string{"-other"}, e.took(resourcev3.ListenerType, versions))
	require.Equal(t, []string{"-other"}, e.took(resourcev3.RouteType, versions))
}

// The certificate of a listener that is about to come is not forgotten when the configuration before settles.
func TestAListenersCertificateComesBeforeItsConfiguration(t *testing.T) {
	cp := startControlPlane(t, "a")
	e := cp.connect(t)
	versions := e.takes("a")
	cp.configure(t, functionsNamed("a", "b"))
	clusters := e.receive(resourcev3.ClusterType)
	chain, key := keypairtest.PEM(t, keypairtest.Wish{})
	cp.SetCertificate("secure", keypair.Pair{Chain: chain, Key: key})
	e.ack(clusters)
	e.subscribe(resourcev3.EndpointType, "b")
	require.Equal(t, []string{"b"}, e.took(resourcev3.EndpointType, versions))
	require.Equal(t, []string{"front"}, e.took(resourcev3.RouteType, versions), "settled")

	next := functionsNamed("a", "b")
	next.Listeners = append(next.Listeners, config.Listener{Name: "secure", Address: "127.0.0.1:8443", TLS: &config.ListenerTLS{}})
	cp.configure(t, next)
	require.Equal(t, []string{"secure"}, e.took(resourcev3.ListenerType, versions))
	e.subscribe(resourcev3.SecretType, "secure")
	require.Equal(t, []string{"secure"}, e.took(resourcev3.SecretType, versions))
	cp.configure(t, functionsNamed("a", "b"))
	require.Equal(t, []string{"-secure"}, e.took(resourcev3.ListenerType, versions))
	require.Equal(t, []string{"-secure"}, e.took(resourcev3.SecretType, versions))
}

// An Envoy that does not take a new function's cluster does not keep the others' routes from changing.
func TestAnEnvoyThatRefusesANewCluster(t *testing.T) {
	cp := startControlPlane(t, "a")
	e := cp.connect(t)
	versions := e.takes("a")
	cp.configure(t, functionsNamed("a", "b"))
	e.nack(e.receive(resourcev3.ClusterType), "no")
	for {
		r, err := e.stream.Recv()
		require.NoError(t, err)
		if r.GetTypeUrl() == resourcev3.RouteType {
			require.Equal(t, []string{"front"}, namesIn(r, versions))
			return
		}
		e.nack(r, "no")
	}
}

// Any sequence of configurations leaves Envoy what a start with the last one gives it, to the byte.
func TestAnySequenceOfConfigurationsIsTheLast(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var last *config.Config
		cp := startControlPlane(t, "always")
		for range rapid.IntRange(1, 5).Draw(r, "loads") {
			last = drawConfig(r)
			cp.configure(t, last)
			if rapid.Bool().Draw(r, "pause") {
				time.Sleep(time.Millisecond)
			}
		}
		fresh := startConfigured(t, last)
		want := fresh.everything(t, last)
		require.Eventually(t, func() bool { return maps.Equal(want, cp.everything(t, last)) }, patience, 5*time.Millisecond)
		cp.crash()
		fresh.crash()
	})
}

func drawConfig(t *rapid.T) *config.Config {
	cfg := functionsNamed("always")
	for _, name := range []string{"f0", "f1", "f2"} {
		if rapid.Bool().Draw(t, name) {
			f := testFunction(name, config.Route{Path: "/" + name})
			f.Scaling.Concurrency = rapid.IntRange(1, 2).Draw(t, "concurrency")
			f.Disabled = rapid.IntRange(0, 3).Draw(t, "disabled") == 0
			cfg.Functions = append(cfg.Functions, f)
		}
	}
	if rapid.Bool().Draw(t, "second listener") {
		cfg.Listeners = append(cfg.Listeners, config.Listener{Name: "other", Address: "127.0.0.1:8081", HealthPath: "/up"})
	}
	return cfg
}

// everything is what an Envoy gets that connects now, by type and name; nothing if it is not complete yet. A change that is still
// on its way may come between two answers.
func (cp *controlPlane) everything(t *testing.T, cfg *config.Config) map[string]string {
	t.Helper()
	e := cp.connect(t)
	defer e.close()
	versions := map[string]string{}
	ask := func(url string, names ...string) {
		e.subscribe(url, names...)
		for {
			r, err := e.stream.Recv()
			require.NoError(t, err)
			e.ack(r)
			namesIn(r, versions)
			for _, gone := range r.GetRemovedResources() {
				delete(versions, r.GetTypeUrl()+gone)
			}
			if r.GetTypeUrl() == url {
				return
			}
		}
	}
	ask(resourcev3.ClusterType)
	ask(resourcev3.ListenerType)
	for _, l := range cfg.Listeners {
		if versions[resourcev3.ListenerType+l.Name] == "" {
			return nil
		}
		ask(resourcev3.RouteType, l.Name)
	}
	for _, f := range cfg.Functions {
		if versions[resourcev3.ClusterType+f.Name] == "" {
			return nil
		}
		ask(resourcev3.EndpointType, f.Name)
	}
	return versions
}
