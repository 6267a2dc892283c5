package xds

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// What is said of a request on its way is for proxies to say. Envoy keeps x-forwarded-for, and x-forwarded-proto, itself;
// docs/http.md says what of all this an app may believe.

// forwardedHost believes a proxy in front of Envoy, if there is one, and no client.
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

// hearsay lists what only a proxy in front may say, since frameworks believe it and nobody here says anything better. Where
// no proxy is trusted it is removed: it is the client's word.
func hearsay(l config.Listener) []string {
	if l.TrustedHops > 0 {
		return nil
	}
	return []string{"forwarded", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-server", "x-forwarded-ssl", "x-real-ip"}
}

// withoutReservedHeaders removes what no client and no proxy may say, before anything reads it: the names that only this
// system and Envoy have (with x-envoy- headers a client could set timeouts and retries of its own), and spellings with
// underscores that servers with CGI's variables take for the real names.
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
