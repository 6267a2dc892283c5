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

// hearsay lists the headers that only a trusted proxy in front may set. Frameworks trust them, and we do not set them. If no
// proxy is trusted they are removed, because a client may have set them.
func hearsay(l config.Listener) []string {
	if l.TrustedHops > 0 {
		return nil
	}
	return []string{"forwarded", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-server", "x-forwarded-ssl", "x-real-ip"}
}

// withoutReservedHeaders removes headers that neither clients nor proxies may set, before anything reads them: our own and
// Envoy's (with x-envoy- headers a client could set timeouts and retries), and spellings with underscores, which servers that map
// headers to CGI variables take for the real names.
func withoutReservedHeaders() *earlyv3.HeaderMutation {
	mutation := &earlyv3.HeaderMutation{}
	for _, prefix := range []string{"lambda-dispatch-", "x-envoy-", "x_forwarded", "x-forwarded_"} {
		mutation.Mutations = append(mutation.Mutations, &mutationv3.HeaderMutation{
			Action: &mutationv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{
				KeyMatcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}},
			}},
		})
	}
	return mutation
}
