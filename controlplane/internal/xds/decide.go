package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Clusters of the bootstrap, for xDS and ext_proc: the control plane that leads, and while none does the caretaker beside Envoy,
// in the relay's process. Envoy finds out by itself which one answers.
const (
	controlCluster = "control"
	splitCluster   = "control/decide" // where control planes are on other hosts; no function's name holds a slash
)

// deciders names the cluster that is asked about requests.
func deciders(cfg *config.Config) string {
	if cfg.Cell.Split() {
		return splitCluster
	}
	return controlCluster
}

// decisionService is who is asked about requests. If the control plane restarts, Envoy asks again as the bootstrap's cluster says, whose
// retry policy it reads once. A policy in here would be read anew for each request, and cost 7 % of the CPU that a request takes.
func decisionService(cfg *config.Config) *corev3.GrpcService {
	return &corev3.GrpcService{
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
			ClusterName: deciders(cfg),
			// The control plane does not read x-envoy- and x-forwarded- headers, and they cost CPU on both sides.
			SkipEnvoyHeaders: true,
		}},
	}
}

// How often, and how far apart, an Envoy with an older bootstrap asks again: as in the bootstrap of today. After about 15 seconds it
// balances the request over the healthy endpoints.
const (
	offers        = 40
	offerInterval = 100 * time.Millisecond
	offerPauseMax = 500 * time.Millisecond
)

// olderDecisionService is the same for Envoys whose bootstrap has no retry policy.
func olderDecisionService(cfg *config.Config) *corev3.GrpcService {
	service := decisionService(cfg)
	service.RetryPolicy = &corev3.RetryPolicy{
		RetryOn:    "connect-failure,reset,refused-stream,unavailable",
		NumRetries: number(offers),
		RetryBackOff: &corev3.BackoffStrategy{
			BaseInterval: durationpb.New(offerInterval),
			MaxInterval:  durationpb.New(offerPauseMax),
		},
	}
	return service
}

// asksAgain is the key of an Envoy's metadata that names the cluster of its bootstrap which has a retry policy for decisions.
const asksAgain = "asks_again"

// olderListeners is the cache of listeners for Envoys whose bootstrap names no such cluster, or another one.
const olderListeners = resourcev3.ListenerType + "/older"

// cacheOf tells which cache serves a request.
func (s *Server) cacheOf(r *cachev3.DeltaRequest) string {
	url := r.GetTypeUrl()
	if url == resourcev3.ListenerType && r.GetNode().GetMetadata().GetFields()[asksAgain].GetStringValue() != s.deciders {
		return olderListeners
	}
	return url
}
