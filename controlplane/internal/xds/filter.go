package xds

import (
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

const extProcName = "envoy.filters.http.ext_proc"

// decisionMargin is how much longer than the queue allows Envoy waits for a decision.
const decisionMargin = 5 * time.Second

// extProc is the filter that asks the control plane about each request. It is off unless a route turns it on, so that unknown
// paths and hosts cost nothing.
func extProc(service *corev3.GrpcService) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:     extProcName,
		Disabled: true,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&extprocv3.ExternalProcessor{
			StatPrefix:     "dispatch",
			GrpcService:    service,
			MessageTimeout: durationpb.New(decisionLimit),
			// False would end requests in flight when the control plane restarts, because their streams are still open.
			FailureModeAllow: true,
			// The answer names an endpoint. Routing again turns on the idle timeout of the dispatched request. Envoy
			// routes again only if the answer has a header mutation, which may be empty.
			RouteCacheAction: extprocv3.ExternalProcessor_CLEAR,
			ProcessingMode: &extprocv3.ProcessingMode{
				RequestHeaderMode:  extprocv3.ProcessingMode_SEND,
				ResponseHeaderMode: extprocv3.ProcessingMode_SKIP,
				RequestTrailerMode: extprocv3.ProcessingMode_SKIP,
				// Trailers do not matter, but waiting for them keeps the stream open until the request has ended.
				ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
			},
			ForwardRules: &extprocv3.HeaderForwardingRules{AllowedHeaders: anyOf(extproc.Headers...)},
			// The control plane changes no header of a request. The exceptions are those of its own answers.
			MutationRules: &mutationv3.HeaderMutationRules{
				DisallowAll:     yes(),
				AllowExpression: &matcherv3.RegexMatcher{Regex: "^(content-type|retry-after|" + extproc.CauseHeader + ")$"},
			},
			MetadataOptions: &extprocv3.MetadataOptions{
				ReceivingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{extproc.MetadataNamespace}},
			},
		})},
	}
}

// decisionLimit is how long Envoy waits for a decision in any case, if nothing else has shown that the control plane hangs. It is
// the most that Envoy allows. It is the same for all functions, because routes cannot set it. The control plane ends each wait
// long before.
const decisionLimit = time.Hour

// decisionTimeout is how long a decision about a request of the function may take. A request that Envoy asks about again after a
// restart queues anew, hence twice the queue's timeout.
func decisionTimeout(f *config.Function) time.Duration {
	return min(2*f.Queue.Timeout+decisionMargin, decisionLimit)
}

func anyOf(names ...string) *matcherv3.ListStringMatcher {
	list := &matcherv3.ListStringMatcher{}
	for _, name := range names {
		list.Patterns = append(list.Patterns, exact(name))
	}
	return list
}

func exact(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}}
}
