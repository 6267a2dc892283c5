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

// A request that is held while the control plane restarts is offered again this often, this far apart: for about a
// quarter of a minute. Then it is balanced over the healthy endpoints.
const (
	offers        = 40
	offerInterval = 100 * time.Millisecond
	offerPauseMax = 500 * time.Millisecond
)

// decisionMargin is how much longer than the queue allows a request may be without an answer.
const decisionMargin = 5 * time.Second

// extProc is the filter that asks the control plane about each request. It is off where no route turns it on, so that
// unknown paths and hosts cost nothing.
func extProc(cfg *config.Config) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:     extProcName,
		Disabled: true,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&extprocv3.ExternalProcessor{
			StatPrefix:     "dispatch",
			GrpcService:    controlService(cfg),
			MessageTimeout: durationpb.New(decisionLimit),
			// False would end requests in flight when the control plane restarts: their stream is still open.
			FailureModeAllow: true,
			// The answer names an endpoint; routing again is what turns on the idle timeout of the dispatched request. Envoy
			// does so only if the answer has a header mutation, which may be empty.
			RouteCacheAction: extprocv3.ExternalProcessor_CLEAR,
			ProcessingMode: &extprocv3.ProcessingMode{
				RequestHeaderMode:  extprocv3.ProcessingMode_SEND,
				ResponseHeaderMode: extprocv3.ProcessingMode_SKIP,
				RequestTrailerMode: extprocv3.ProcessingMode_SKIP,
				// No trailers are of interest: waiting for them keeps the stream open until the request has ended.
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

func controlService(cfg *config.Config) *corev3.GrpcService {
	return &corev3.GrpcService{
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
			ClusterName: deciders(cfg),
			// Nobody reads x-envoy- and x-forwarded- headers there, and each costs both ends.
			SkipEnvoyHeaders: true,
		}},
		RetryPolicy: &corev3.RetryPolicy{
			RetryOn:    "connect-failure,reset,refused-stream,unavailable",
			NumRetries: number(offers),
			RetryBackOff: &corev3.BackoffStrategy{
				BaseInterval: durationpb.New(offerInterval),
				MaxInterval:  durationpb.New(offerPauseMax),
			},
		},
	}
}

// decisionLimit is when Envoy gives up on a control plane that has a request, if nothing else has told that it hangs. It is the
// most that Envoy allows, and the same for all functions: no route can set it, and what is one function's has no place in a
// listener. The control plane ends each wait long before.
const decisionLimit = time.Hour

// decisionTimeout is how long a request of the function may be with the control plane. One that is offered again after a restart
// queues anew, hence twice the queue's timeout.
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
