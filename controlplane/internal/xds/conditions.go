package xds

import (
	"fmt"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// A condition holds for some of Envoy's own answers. Envoy calls it an access log filter.
type condition = accesslogv3.AccessLogFilter

// flagged holds for answers with a response flag of Envoy's.
func flagged(name string) *condition {
	return &condition{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{name}},
	}}
}

func answered(code int) *condition { return compare(accesslogv3.ComparisonFilter_EQ, code) }

func below(code int) *condition { return compare(accesslogv3.ComparisonFilter_LE, code-1) }

func above(code int) *condition { return compare(accesslogv3.ComparisonFilter_GE, code+1) }

func compare(op accesslogv3.ComparisonFilter_Op, code int) *condition {
	return &condition{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op: op,
			// Envoy requires a name under which its runtime could override the number.
			Value: &corev3.RuntimeUInt32{DefaultValue: uint32(code), RuntimeKey: fmt.Sprintf("lambda_dispatch.%s_%d", op, code)},
		}},
	}}
}

func all(conditions ...*condition) *condition {
	return &condition{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: conditions},
	}}
}

// some holds if one of the conditions does. Envoy evaluates them in order.
func some(conditions ...*condition) *condition {
	return &condition{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{OrFilter: &accesslogv3.OrFilter{Filters: conditions}}}
}

// asks holds if the request has a header with such a value. A request that could not be parsed has none.
func asks(name string, value *matcherv3.StringMatcher) *condition {
	return requestHeader(header(name, value))
}

func requestHeader(h *routev3.HeaderMatcher) *condition {
	return &condition{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
		HeaderFilter: &accesslogv3.HeaderFilter{Header: h},
	}}
}

// asksToUpgrade holds for requests to upgrade, also those of HTTP/2, which Envoy translates.
func asksToUpgrade() *condition { return requestHeader(present("upgrade")) }

// pathless holds for targets without a path, which can be legal: http://host?query.
func pathless() *condition {
	path := header(":path", &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "/"}})
	path.InvertMatch = true
	return requestHeader(path)
}

// notUpgraded are the details of an app's answer to an upgrade that is neither 101 nor an error. Envoy passes on its status and
// headers in an answer of its own, and drops its body.
const notUpgraded = "websocket_handshake_unsuccessful"

// unexplained holds for answers that are not the control plane's, a route's refusal or the app's. It costs more than other
// conditions.
func unexplained() *condition {
	return expression(fmt.Sprintf("!(response.code_details in ['direct_response', '%s'] || response.code_details.startsWith('%s'))",
		notUpgraded, extproc.DetailsPrefix))
}

// detailed holds for answers of which Envoy says this.
func detailed(details string) *condition {
	return expression(fmt.Sprintf("response.code_details == '%s'", details))
}

// refusedStream holds for a request that nobody has begun, because the relay or the peer refused its stream (RFC 9113, 8.7).
func refusedStream() *condition {
	return expression("response.code_details.contains('{remote_refused_stream_reset}')")
}

// expression holds if a CEL expression is true.
func expression(text string) *condition {
	return &condition{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name:       "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: pack(&celv3.ExpressionFilter{Expression: text})},
		},
	}}
}
