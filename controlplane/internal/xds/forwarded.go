package xds

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Forwarded headers must come from proxies, not from clients. Envoy itself maintains x-forwarded-for and x-forwarded-proto.
// docs/http.md says which of these headers an app may trust.

// forwardedHost sets x-forwarded-host. It keeps the value of a trusted proxy in front of Envoy, but not that of a client.
func forwardedHost(l config.Listener) *corev3.HeaderValueOption {
	action := corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	if l.TrustedHops > 0 {
		action = corev3.HeaderValueOption_ADD_IF_ABSENT
	}
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: "x-forwarded-host", Value: "%REQ(:AUTHORITY)%"},
		AppendAction: action,
	}
}

// withoutHearsay removes headers that only others may set, before anything reads them. Our own and Envoy's own nobody may set:
// with x-envoy- headers a client could set timeouts and retries. Nobody may use spellings with underscores either, which servers
// that map headers to CGI variables take for the real names. What a proxy says of its client frameworks believe. So without a
// trusted proxy in front nothing of that stays but x-forwarded-for, to which Envoy appends; it sets -proto and -host itself.
func withoutHearsay(l config.Listener) *earlyv3.HeaderMutation {
	var names []*matcherv3.StringMatcher
	for _, prefix := range []string{"lambda-dispatch-", "x-envoy-", "x_forwarded", "x-forwarded_", "x_real", "x-real_"} {
		names = append(names, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}})
	}
	if l.TrustedHops == 0 {
		names = append(names, exact("forwarded"), exact("x-real-ip"), fully("^x-forwarded-"+anythingBut("for")))
	}
	mutation := &earlyv3.HeaderMutation{}
	for _, name := range names {
		mutation.Mutations = append(mutation.Mutations, &mutationv3.HeaderMutation{
			Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
				RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: name},
			},
		})
	}
	return mutation
}
