package xds_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

func TestVirtualHostsHoldEveryRouteThatTheirHostCanMatch(t *testing.T) {
	cfg := testConfig(
		testFunction("any", config.Route{Path: "/x"}),
		testFunction("wild", config.Route{Host: "*.example.com", Path: "/x"}),
		testFunction("exact", config.Route{Host: "www.example.com"}, config.Route{Listener: "other", Path: "/o"}),
	)
	cfg.Listeners = append(cfg.Listeners, config.Listener{Name: "other", Address: "127.0.0.1:8081"})
	set := xds.Resources(cfg)
	require.Len(t, set.Listeners, 2)
	require.Len(t, set.Clusters, 6)

	got := make(map[string][]string)
	for _, host := range set.Routes[0].GetVirtualHosts() {
		got[host.GetDomains()[0]] = plainRoutes(host)
	}
	require.Equal(t, map[string][]string{
		"*":               {"any/0"},
		"*.example.com":   {"wild/0", "any/0"},
		"www.example.com": {"exact/0", "wild/0", "any/0"},
	}, got)
	other := set.Routes[1].GetVirtualHosts()
	require.Equal(t, []string{"any/0", "exact/1"}, plainRoutes(other[0]), "as specific as each other: in the configuration's order")
}

// functionRoutes leaves out those that refuse malformed requests.
func functionRoutes(host *routev3.VirtualHost) []*routev3.Route {
	return slices.DeleteFunc(host.GetRoutes(), func(r *routev3.Route) bool { return r.GetRoute() == nil })
}

// plainRoutes names the host's routes without their variants.
func plainRoutes(host *routev3.VirtualHost) []string {
	var names []string
	for _, r := range functionRoutes(host) {
		if len(r.GetMatch().GetHeaders()) == 0 && len(r.GetMatch().GetDynamicMetadata()) == 0 {
			names = append(names, r.GetName())
		}
	}
	return names
}

func TestRoutesRetryOnlyWhatNobodyHasProcessed(t *testing.T) {
	for _, r := range functionRoutes(xds.Resources(testConfig(testFunction("a", config.Route{}))).Routes[0].GetVirtualHosts()[0]) {
		policy := r.GetRoute().GetRetryPolicy()
		if r.GetName() == "a/again" {
			require.Equal(t, "connect-failure,refused-stream", policy.GetRetryOn(), "once is enough")
			continue
		}
		require.Equal(t, "connect-failure,refused-stream,retriable-headers", policy.GetRetryOn())
		require.Equal(t, "lambda-dispatch-refused", policy.GetRetriableHeaders()[0].GetName())
	}
}

// A refused request finds its function wherever a route leads there, whatever its path has become, before any route of its
// first way.
func TestRefusedRequestsHaveRoutesOfTheirOwn(t *testing.T) {
	a := testFunction("a", config.Route{Path: "/a", StripPrefix: true}, config.Route{Host: "a.test"})
	off := testFunction("off", config.Route{Path: "/off"})
	off.Disabled = true
	for _, host := range xds.Resources(testConfig(a, testFunction("b", config.Route{Path: "/b"}), off)).Routes[0].GetVirtualHosts() {
		again := map[string]int{}
		plain := 0
		for _, r := range functionRoutes(host) {
			if !strings.HasSuffix(r.GetName(), "/again") {
				plain++
				continue
			}
			again[r.GetName()]++
			require.Zero(t, plain, "before all others")
			require.Equal(t, "lambda-dispatch-refused", r.GetMatch().GetHeaders()[0].GetName())
			require.Nil(t, r.GetRoute().GetRegexRewrite())
			require.Nil(t, r.GetRoute().GetInternalRedirectPolicy(), "once is enough")
		}
		require.Equal(t, map[string]int{"a/again": 2, "b/again": 2}, again, host.GetName())
	}
}

func TestATimerOfZeroIsNoLimit(t *testing.T) {
	f := testFunction("a", config.Route{})
	f.Timeouts = config.Timeouts{}
	for _, r := range functionRoutes(xds.Resources(testConfig(f)).Routes[0].GetVirtualHosts()[0]) {
		require.Zero(t, r.GetRoute().GetTimeout().AsDuration())
		require.NotNil(t, r.GetRoute().GetTimeout(), "unset is 15 seconds")
		require.NotNil(t, r.GetRoute().GetIdleTimeout())
		require.Zero(t, r.GetRoute().GetIdleTimeout().AsDuration())
		require.Nil(t, r.GetRoute().GetRetryPolicy().GetPerTryTimeout())
	}
}

// A timer that runs while the request waits must not end one that the function's own timer would have let live.
func TestTheTimerOfTheWaitIsLongerThanWaitAndIdleTogether(t *testing.T) {
	f := testFunction("a", config.Route{})
	f.Timeouts.Idle, f.Queue.Timeout = time.Minute, config.MaxQueueTimeout
	for _, r := range functionRoutes(xds.Resources(testConfig(f)).Routes[0].GetVirtualHosts()[0]) {
		if r.GetName() == "a/0" && len(r.GetMatch().GetDynamicMetadata()) == 0 {
			require.Greater(t, r.GetRoute().GetIdleTimeout().AsDuration(), time.Minute+config.MaxQueueTimeout)
		}
	}
}

// What one function's configuration says is in its own clusters and routes. Whoever edits it touches nothing of another's, nor a
// listener, whose connections Envoy would have to drain.
func TestAnEditOfOneFunctionTouchesNothingOfAnothers(t *testing.T) {
	other := testFunction("other", config.Route{Host: "other.test"}, config.Route{Path: "/other"})
	before := testFunction("edited", config.Route{Host: "edited.test"})
	for name, edit := range map[string]func(*config.Function){
		"queue":       func(f *config.Function) { f.Queue = config.Queue{Limit: 7, Timeout: config.MaxQueueTimeout} },
		"timeouts":    func(f *config.Function) { f.Timeouts = config.Timeouts{Idle: time.Hour, HalfClosed: time.Second} },
		"concurrency": func(f *config.Function) { f.Scaling.Concurrency = 999 },
		"routes": func(f *config.Function) {
			f.Routes = []config.Route{{Path: "/edited", StripPrefix: true}, {Listener: "wide", Path: "/x"}}
		},
		"off":  func(f *config.Function) { f.Disabled = true },
		"gone": func(f *config.Function) { f.Name = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			after := before
			edit(&after)
			var states [2]map[string]string
			for i, f := range []config.Function{before, after} {
				cfg := testConfig(other, f)
				cfg.Listeners = append(cfg.Listeners, config.Listener{Name: "wide", Address: "127.0.0.1:8081", MaxRequestHeaders: 512})
				states[i] = notOf(t, xds.Resources(cfg), f.Name)
			}
			require.NotEmpty(t, states[0])
			require.Equal(t, states[0], states[1])
		})
	}
}

// notOf are all resources but a function's, and but the routes in which all meet: of those the routes of others.
func notOf(t *testing.T, set xds.ResourceSet, function string) map[string]string {
	t.Helper()
	all := map[string]string{}
	add := func(key string, m proto.Message) {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		require.NoError(t, err)
		all[key] += string(text)
	}
	for _, l := range set.Listeners {
		add("listener "+l.GetName(), l)
	}
	for _, c := range set.Clusters {
		if name, _, _ := strings.Cut(c.GetName(), "/"); name != function {
			add("cluster "+c.GetName(), c)
		}
	}
	for _, table := range set.Routes {
		for _, host := range table.GetVirtualHosts() {
			for _, r := range host.GetRoutes() {
				name, _, _ := strings.Cut(r.GetName(), "/")
				if name != function && !strings.HasPrefix(host.GetName(), "edited") {
					add(strings.Join([]string{"route", table.GetName(), host.GetName(), r.GetName()}, " "), r)
				}
			}
		}
	}
	return all
}
