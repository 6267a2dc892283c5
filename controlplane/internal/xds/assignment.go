package xds

import (
	"math"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
)

const (
	// smoothing is the share of the difference to the present weight by which a sample moves the smoothed weight.
	smoothing = 0.25
	// settled is how close a smoothed weight must be to the present one for sampling to stop.
	settled = 0.25
)

// overprovisioned is by how much the healthy endpoints exceed what is needed, in percent: one of thousands takes all requests, before
// any degraded one gets some.
const overprovisioned = 1_000_000

// An assignment is what is published about one function. Its endpoints are sorted by path.
type assignment struct {
	endpoints []published
	drifting  bool // a weight has not settled, so weights must be sampled again
}

// A published endpoint has the weight that Envoy was told, and the moving average of the present ones.
type published struct {
	path   string
	health upstream.Health
	weight uint32
	smooth float64
	// encoded is what Envoy gets. It is replaced, never changed, because streams may be sending it.
	encoded *endpointv3.LbEndpoint
}

func newAssignment() *assignment { return &assignment{} }

// update sets the present endpoints, and tells whether Envoy must be told. It sorts now in place. Weights count only if sample is
// set.
func (a *assignment) update(now []upstream.Endpoint, sample bool) bool {
	slices.SortFunc(now, func(x, y upstream.Endpoint) int { return strings.Compare(x.Path, y.Path) })
	a.drifting = false
	if a.sameMembers(now) {
		return a.reweigh(now, sample)
	}
	old := a.endpoints
	a.endpoints = make([]published, 0, len(now))
	for _, e := range now {
		for len(old) > 0 && old[0].path < e.Path {
			old = old[1:]
		}
		if len(old) > 0 && old[0].path == e.Path && old[0].health == e.Health {
			a.endpoints = append(a.endpoints, old[0]) // its weight can wait
		} else {
			a.endpoints = append(a.endpoints, fresh(e))
		}
	}
	a.reweigh(now, false)
	return true
}

// sameMembers tells whether paths and health are as published.
func (a *assignment) sameMembers(now []upstream.Endpoint) bool {
	return slices.EqualFunc(a.endpoints, now, func(p published, e upstream.Endpoint) bool {
		return p.path == e.Path && p.health == e.Health
	})
}

// reweigh updates the weights of the published endpoints, which now lists in the same order. It tells whether Envoy must be told.
func (a *assignment) reweigh(now []upstream.Endpoint, sample bool) (changed bool) {
	for i, e := range now {
		p := &a.endpoints[i]
		target := float64(max(e.Weight, 1))
		if sample {
			p.smooth += (target - p.smooth) * smoothing
		}
		if math.Abs(target-p.smooth) > settled {
			a.drifting = true
		} else {
			p.smooth = target
		}
		// A weight that has doubled or halved is worth telling; less is noise.
		if sample && (p.smooth >= 2*float64(p.weight) || 2*p.smooth <= float64(p.weight)) {
			p.weight = quantized(p.smooth)
			p.encoded = p.resource()
			changed = true
		}
	}
	return changed
}

func fresh(e upstream.Endpoint) published {
	weight := float64(max(e.Weight, 1))
	p := published{path: e.Path, health: e.Health, weight: quantized(weight), smooth: weight}
	p.encoded = p.resource()
	return p
}

// quantized returns the power of two at or below the weight.
func quantized(weight float64) uint32 {
	return uint32(1) << min(math.Ilogb(max(weight, 1)), 16)
}

// resource is the assignment as Envoy gets it. It must not be changed.
func (a *assignment) resource(function string) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: function, Policy: &endpointv3.ClusterLoadAssignment_Policy{
		OverprovisioningFactor: wrapperspb.UInt32(overprovisioned),
	}}
	if len(a.endpoints) == 0 {
		return out
	}
	locality := &endpointv3.LocalityLbEndpoints{LbEndpoints: make([]*endpointv3.LbEndpoint, len(a.endpoints))}
	for i, e := range a.endpoints {
		locality.LbEndpoints[i] = e.encoded
	}
	out.Endpoints = []*endpointv3.LocalityLbEndpoints{locality}
	return out
}

func (p published) resource() *endpointv3.LbEndpoint {
	return &endpointv3.LbEndpoint{
		HealthStatus:        statusOf(p.health),
		LoadBalancingWeight: wrapperspb.UInt32(p.weight),
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: p.path}}},
		}},
	}
}

func statusOf(h upstream.Health) corev3.HealthStatus {
	switch h {
	case upstream.Healthy:
		return corev3.HealthStatus_HEALTHY
	case upstream.Degraded:
		return corev3.HealthStatus_DEGRADED
	case upstream.Draining:
		return corev3.HealthStatus_DRAINING
	default:
		return corev3.HealthStatus_UNHEALTHY
	}
}

// pathsOf lists the endpoints of an assignment that Envoy was sent, sorted as they were published.
func pathsOf(a *endpointv3.ClusterLoadAssignment) []string {
	var paths []string
	for _, locality := range a.GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			paths = append(paths, e.GetEndpoint().GetAddress().GetPipe().GetPath())
		}
	}
	return paths
}
