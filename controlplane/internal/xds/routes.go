package xds

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// anyHost is the domain of Envoy's virtual host for all hosts that have none of their own.
const anyHost = "*"

// When and how often Envoy retries. It retries only if the app cannot have processed the request: a socket that does not connect,
// a stream that the peer refused, or an answer that the peer marked as not begun. The first retries come at once, for another
// instance may serve. All together they last long enough for a relay that is started again to open its sockets.
const (
	retryOn         = "connect-failure,refused-stream"
	ifRefused       = ",retriable-headers"
	retries         = 11
	retryBackOff    = 5 * time.Millisecond
	retryBackOffMax = 800 * time.Millisecond
)

// A routed is one route with its function.
type routed struct {
	function *config.Function
	config.Route
	index  int  // among the function's routes; part of its name
	tell   bool // Envoy must know what requests waited for
	traced bool // Envoy sends spans
}

// routeConfiguration has the routes of one listener. Requests that match none get a 404 of Envoy's own, and the control plane is
// not asked about them.
func routeConfiguration(cfg *config.Config, l config.Listener) *routev3.RouteConfiguration {
	routes := routesOf(cfg, l.Name)
	out := &routev3.RouteConfiguration{
		Name: l.Name,
		// A host is matched without its port, but the app sees it as the client sent it.
		IgnorePortInHostMatching: true,
		RequestHeadersToAdd:      []*corev3.HeaderValueOption{forwardedHost(l)},
		RequestHeadersToRemove:   []string{"x-envoy-external-address", "x-envoy-original-path", originalURL},
		ResponseHeadersToRemove:  []string{extproc.RefusedHeader},
	}
	for _, host := range hostsOf(routes) {
		out.VirtualHosts = append(out.VirtualHosts, virtualHost(host, routes))
	}
	return out
}

// routesOf lists the listener's routes, the more specific ones first: by host, then path, then header, then the configuration's
// order.
func routesOf(cfg *config.Config, listener string) []routed {
	var routes []routed
	for i := range cfg.Functions {
		f := &cfg.Functions[i]
		for j, r := range f.Routes {
			if r.Listener != "" && r.Listener != listener {
				continue
			}
			r.Host, r.Path = strings.ToLower(r.Host), strings.TrimRight(r.Path, "/")
			routes = append(routes, routed{function: f, Route: r, index: j, tell: told(cfg), traced: traced(cfg)})
		}
	}
	slices.SortStableFunc(routes, moreSpecific)
	return routes
}

func moreSpecific(a, b routed) int {
	header := func(r routed) int {
		if r.Header == nil {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(hostRank(b.Host), hostRank(a.Host)),
		cmp.Compare(len(b.Path), len(a.Path)),
		cmp.Compare(header(a), header(b)),
	)
}

// hostRank orders host patterns: an exact one above every wildcard, a longer wildcard above a shorter one, any host last.
func hostRank(host string) int {
	const exact = 1 << 20
	switch {
	case host == "":
		return 0
	case strings.HasPrefix(host, "*"):
		return len(host)
	}
	return exact
}

// hostsOf lists the virtual hosts that the routes need, sorted, with one for any other host.
func hostsOf(routes []routed) []string {
	hosts := []string{anyHost}
	for _, r := range routes {
		if r.Host != "" {
			hosts = append(hosts, r.Host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// virtualHost has every route that its host can match, because Envoy looks only into the most specific virtual host.
func virtualHost(host string, routes []routed) *routev3.VirtualHost {
	out := &routev3.VirtualHost{Name: host, Domains: []string{host}}
	out.Routes = []*routev3.Route{malformedHost(), malformedPath(), excessiveLength(), upgradeWithBody()}
	routes = slices.DeleteFunc(slices.Clone(routes), func(r routed) bool { return !covers(r.Host, host) })
	out.Routes = append(out.Routes, againRoutes(routes)...)
	for _, r := range routes {
		out.Routes = append(out.Routes, r.resources()...)
	}
	return out
}

// covers tells whether a route's host pattern matches every host of the virtual host.
func covers(pattern, host string) bool {
	if pattern == "" || pattern == host {
		return true
	}
	suffix, wildcard := strings.CutPrefix(pattern, "*")
	return wildcard && strings.HasSuffix(host, suffix)
}

// resources are Envoy's routes for one of ours. A disabled function keeps its route, so that no wider one takes its requests.
// Upgrades go to the twin cluster. While a request waits for a slot its stream is idle, so the idle timeout must not run yet. A
// variant of the route that matches only requests with a lease turns it on, and the filter's answer makes Envoy choose the route
// again.
func (r routed) resources() []*routev3.Route {
	if r.function.Disabled {
		out := refusal(r.name(), r.match(), 404, noFunction, causeDisabled)
		out.Metadata = r.metadata()
		return []*routev3.Route{out}
	}
	var out []*routev3.Route
	for _, upgrade := range []bool{true, false} {
		if r.function.Timeouts.Idle > 0 {
			out = append(out, r.resource(upgrade, true))
		}
		out = append(out, r.resource(upgrade, false))
	}
	return out
}

func (r routed) resource(upgrade, leased bool) *routev3.Route {
	action := r.action()
	match := r.match()
	if upgrade {
		match.Headers = append(match.Headers, header("upgrade", &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: upgradeProtocol}, IgnoreCase: true,
		}))
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: r.function.Name + upgradeSuffix}
		action.Timeout = durationpb.New(0) // the answer of an upgraded connection is never complete
	}
	if leased {
		match.DynamicMetadata = []*matcherv3.MetadataMatcher{hasLease()}
		action.IdleTimeout = durationpb.New(r.function.Timeouts.Idle)
	}
	out := &routev3.Route{
		Name:                 r.name(),
		Match:                match,
		Metadata:             r.metadata(),
		ResponseHeadersToAdd: r.serverTiming(),
		Decorator:            r.decorator(),
		Action:               &routev3.Route_Route{Route: action},
		TypedPerFilterConfig: map[string]*anypb.Any{extProcName: r.filterConfig(&corev3.HeaderValue{Key: extproc.BeganKey, Value: startMicros})},
	}
	if !upgrade {
		action.InternalRedirectPolicy = r.followRefusals()
	}
	if upgrade {
		// An upgrade has no body, so Expect is useless, and a peer's HTTP/1.1 server would answer an unusual one by itself.
		out.RequestHeadersToRemove = []string{"expect"}
	}
	return out
}

func (r routed) name() string { return fmt.Sprintf("%s/%d", r.function.Name, r.index) }

func (r routed) match() *routev3.RouteMatch {
	match := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	if r.Path != "" {
		match.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: r.Path}
	}
	if r.Header != nil {
		match.Headers = []*routev3.HeaderMatcher{header(r.Header.Name, exact(r.Header.Value))}
	}
	return match
}

func header(name string, value *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name:                 strings.ToLower(name),
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: value},
	}
}

func present(name string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
}

// fully matches texts that the expression matches as a whole.
func fully(regex string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: regex}}}
}

// action routes to the function. Envoy starts these timers when the request has left the filters, so they do not count time in
// the queue. The route's timeout and the try's begin with the last byte of the request. The try's ends when the answer begins.
func (r routed) action() *routev3.RouteAction {
	action := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: r.function.Name},
		Timeout:          durationpb.New(r.function.Timeouts.Total),
		IdleTimeout:      durationpb.New(r.waitingLimit()),
		RetryPolicy:      retryPolicy(r.function.Timeouts),
	}
	if r.StripPrefix && r.Path != "" {
		// The match has ensured that a path segment ends here. A regular expression is needed, because replacing /go by /
		// would turn /go/x into //x.
		action.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{
			Pattern:      &matcherv3.RegexMatcher{Regex: "^" + regexp.QuoteMeta(r.Path) + "/?"},
			Substitution: "/",
		}
	}
	return action
}

// waitingLimit is the idle timeout until the request has a lease. Envoy applies the later idle timeout only from the next byte
// on, so this one ends an upload of which no byte ever comes. It is long enough to end no request that another timer would let go
// on.
func (r routed) waitingLimit() time.Duration {
	if r.function.Timeouts.Idle == 0 {
		return 0
	}
	return decisionTimeout(r.function) + r.function.Timeouts.Idle
}

func retryPolicy(t config.Timeouts) *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:           retryOn + ifRefused,
		NumRetries:        wrapperspb.UInt32(retries),
		PerTryTimeout:     unlessZero(t.FirstByte),
		PerTryIdleTimeout: unlessZero(t.Idle),
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(retryBackOff), MaxInterval: durationpb.New(retryBackOffMax),
		},
		// Set by the first builds of lambdapeer, which cannot refuse by a redirect (see again.go).
		RetriableHeaders: []*routev3.HeaderMatcher{header(extproc.RefusedHeader, exact("1"))},
	}
}

// hasLease matches requests that have an endpoint. Clients cannot set dynamic metadata.
func hasLease() *matcherv3.MetadataMatcher {
	return &matcherv3.MetadataMatcher{
		Filter: extproc.MetadataNamespace,
		Path: []*matcherv3.MetadataMatcher_PathSegment{{
			Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: extproc.EndpointKey},
		}},
		Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}},
	}
}

// filterConfig turns on the filter, which is off in the listener. It tells the control plane the function's name, and more.
func (r routed) filterConfig(more ...*corev3.HeaderValue) *anypb.Any {
	said := append([]*corev3.HeaderValue{{Key: extproc.FunctionKey, Value: r.function.Name}}, more...)
	return pack(&extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{
		Overrides: &extprocv3.ExtProcOverrides{GrpcInitialMetadata: append(said, r.wishes()...)},
	}})
}
