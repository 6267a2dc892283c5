package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	allowedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/allow_listed_routes/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A request that a peer refuses is sent again. The peer answers with a redirect to the request's own URL, and a header that only
// peers can set. Envoy follows the redirect by itself: it ends the request's ext_proc stream, which frees the lease, copies the
// header into the request, and begins anew at a route that only such requests match. A request that is not refused costs nothing
// more. Redirects of apps have no such header, match other routes, and reach their clients. Envoy follows only if it has buffered
// the whole request, and only once: after a second refusal the client gets the peer's answer.

const (
	againSuffix      = "/again" // no route's index is a word
	originalURL      = "x-envoy-original-url"
	allowedRedirects = "envoy.internal_redirect_predicates.allow_listed_routes"
	// startMicros is when Envoy first got the request, in microseconds of Unix time.
	startMicros = "%START_TIME(%s%6f)%"
)

func (r routed) againName() string { return r.function.Name + againSuffix }

// followRefusals makes Envoy send a refused request again.
func (r routed) followRefusals() *routev3.InternalRedirectPolicy {
	only := pack(&allowedv3.AllowListedRoutesConfig{AllowedRouteNames: []string{r.againName()}})
	return &routev3.InternalRedirectPolicy{
		MaxInternalRedirects:     number(1),
		RedirectResponseCodes:    []uint32{wire.RefusedStatus},
		Predicates:               []*corev3.TypedExtensionConfig{{Name: allowedRedirects, TypedConfig: only}},
		AllowCrossSchemeRedirect: true, // the client's scheme may differ from Envoy's
		ResponseHeadersToCopy:    []string{extproc.RefusedHeader},
	}
}

// again are the routes of requests that an instance of the function has refused. Their path is already rewritten.
func (r routed) again() []*routev3.Route {
	if r.function.Timeouts.Idle == 0 {
		return []*routev3.Route{r.againRoute(false)}
	}
	return []*routev3.Route{r.againRoute(true), r.againRoute(false)}
}

func (r routed) againRoute(leased bool) *routev3.Route {
	action := r.action()
	action.RegexRewrite = nil
	action.RetryPolicy.RetryOn, action.RetryPolicy.RetriableHeaders = retryOn, nil
	match := &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"},
		Headers: []*routev3.HeaderMatcher{header(extproc.RefusedHeader, &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: wire.RefusedBy(r.function.Name, "")},
		})},
	}
	if leased {
		match.DynamicMetadata = []*matcherv3.MetadataMatcher{hasLease()}
		action.IdleTimeout = durationpb.New(r.function.Timeouts.Idle)
	}
	return &routev3.Route{
		Name:                 r.againName(),
		Match:                match,
		Metadata:             r.metadata(),
		ResponseHeadersToAdd: r.serverTiming(),
		Decorator:            r.decorator(),
		Action:               &routev3.Route_Route{Route: action},
		TypedPerFilterConfig: map[string]*anypb.Any{
			extProcName: r.filterConfig(&corev3.HeaderValue{Key: extproc.ArrivedKey, Value: startMicros}),
		},
	}
}

// againRoutes are the routes for refused requests of these routes' functions.
func againRoutes(routes []routed) []*routev3.Route {
	var out []*routev3.Route
	seen := map[string]bool{}
	for _, r := range routes {
		if r.function.Disabled || seen[r.function.Name] {
			continue
		}
		seen[r.function.Name] = true
		out = append(out, r.again()...)
	}
	return out
}
