package xds

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// brokenEscape matches paths, without their query, in which a % is not followed by two hexadecimal digits.
const brokenEscape = `(?s).*%(?:[^0-9A-Fa-f].*|[0-9A-Fa-f][^0-9A-Fa-f].*|[0-9A-Fa-f]?)`

// malformedPath refuses what no instance would take: a Go server resets the stream of such a request, which would look
// like a fault of the function's.
func malformedPath() *routev3.Route {
	match := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: brokenEscape},
	}}
	return refusal("malformed-path", match, 400, "The request is malformed", "request_invalid")
}

// refusal is a route that Envoy answers by itself.
func refusal(name string, match *routev3.RouteMatch, status uint32, title, cause string) *routev3.Route {
	return &routev3.Route{
		Name:  name,
		Match: match,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: status,
			Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
				InlineString: problemBody(strconv.Itoa(int(status)), title, cause),
			}},
		}},
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "content-type", Value: problemType},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}
}
