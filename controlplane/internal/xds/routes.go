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

// anyHost is Envoy's word for a virtual host that takes what no other one does.
const anyHost = "*"

// What a request may cost again. Only failures after which nothing can have been processed are retried: a socket that
// does not connect, a stream that the peer refused, an answer that the peer marked as never begun.
const (
	retryOn      = "connect-failure,refused-stream"
	ifRefused    = ",retriable-headers"
	retries      = 3
	retryBackOff = 5 * time.Millisecond
)

// A routed is one route with the function that it leads to.
type routed struct {
	function *config.Function
	config.Route
	index  int  // among the function's routes: names it
	tell   bool // Envoy is to know what requests waited for
	traced bool // it sends spans
}

// routeConfiguration is what one listener routes by. Requests that nothing matches get a 404 of Envoy's own, and no
// filter of ours hears of them.
func routeConfiguration(cfg *config.Config, l config.Listener) *routev3.RouteConfiguration {
	routes := routesOf(cfg, l.Name)
	out := &routev3.RouteConfiguration{
		Name: l.Name,
		// A host is matched without its port, and the app sees it as the client sent it.
		IgnorePortInHostMatching: true,
		RequestHeadersToAdd:      []*corev3.HeaderValueOption{forwardedHost(l)},
		RequestHeadersToRemove:   append(hearsay(l), "x-envoy-external-address", "x-envoy-original-path", originalURL),
		ResponseHeadersToRemove:  []string{extproc.RefusedHeader},
	}
	for _, host := range hostsOf(routes) {
		out.VirtualHosts = append(out.VirtualHosts, virtualHost(host, routes))
	}
	return out
}

// routesOf lists the listener's routes, the more specific first: by host, path, header. The configuration's order
// decides the rest.
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

// virtualHost holds every route that its host can match: Envoy looks into one virtual host only, the most specific one.
func virtualHost(host string, routes []routed) *routev3.VirtualHost {
	out := &routev3.VirtualHost{Name: host, Domains: []string{host}, Routes: []*routev3.Route{malformedHost(), malformedPath()}}
	routes = slices.DeleteFunc(slices.Clone(routes), func(r routed) bool { return !covers(r.Host, host) })
	out.Routes = append(out.Routes, againRoutes(routes)...)
	for _, r := range routes {
		out.Routes = append(out.Routes, r.resources()...)
	}
	return out
}

// covers tells whether a route's host pattern holds for everything that the virtual host takes.
func covers(pattern, host string) bool {
	if pattern == "" || pattern == host {
		return true
	}
	suffix, wildcard := strings.CutPrefix(pattern, "*")
	return wildcard && strings.HasSuffix(host, suffix)
}

// resources are the routes of Envoy's for one of ours. A function that is switched off keeps its route, so that no wider one
// takes its requests. Upgrades go to the twin cluster. While a request waits for a slot
// nothing moves on its stream, so the idle timeout must not run yet: a variant that matches only once the request has a
// lease turns it on. The filter's answer makes Envoy route again.
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
		action.Timeout = durationpb.New(0) // an upgraded connection is never complete
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
		// An upgrade has no body to wait with, and a peer that speaks HTTP/1.1 answers an odd Expect by itself.
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

// action is the way to the function. Envoy starts these timers when the request has left the filters, so that no time
// in the queue counts: the route's timeout and the try's from the request's last byte on, the try's only until the
// answer begins.
func (r routed) action() *routev3.RouteAction {
	action := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: r.function.Name},
		Timeout:          durationpb.New(r.function.Timeouts.Total),
		IdleTimeout:      durationpb.New(r.waitingLimit()),
		RetryPolicy:      retryPolicy(r.function.Timeouts),
	}
	if r.StripPrefix && r.Path != "" {
		// The match has seen to the border. A regular expression, because replacing /go by / would make //x of /go/x.
		action.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{
			Pattern:      &matcherv3.RegexMatcher{Regex: "^" + regexp.QuoteMeta(r.Path) + "/?"},
			Substitution: "/",
		}
	}
	return action
}

// waitingLimit is the idle timeout until the request has a lease. Envoy begins to count anew with the next byte only, so
// for an upload of which no byte ever comes this is the one that ends it. It never ends a request that another timer
// would have let live.
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
		RetryBackOff:      &routev3.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(retryBackOff)},
		// Of the first peers, which cannot make Envoy send a request again (see again.go).
		RetriableHeaders: []*routev3.HeaderMatcher{header(extproc.RefusedHeader, exact("1"))},
	}
}

// hasLease matches requests whose endpoint is known. Clients cannot set dynamic metadata.
func hasLease() *matcherv3.MetadataMatcher {
	return &matcherv3.MetadataMatcher{
		Filter: extproc.MetadataNamespace,
		Path: []*matcherv3.MetadataMatcher_PathSegment{{
			Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: extproc.EndpointKey},
		}},
		Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}},
	}
}

// filterConfig turns the filter on, which the listener has off, and tells it the function's name and what else the control
// plane must know.
func (r routed) filterConfig(more ...*corev3.HeaderValue) *anypb.Any {
	said := append([]*corev3.HeaderValue{{Key: extproc.FunctionKey, Value: r.function.Name}}, more...)
	return pack(&extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{
		Overrides: &extprocv3.ExtProcOverrides{GrpcInitialMetadata: append(said, r.wishes()...)},
	}})
}
