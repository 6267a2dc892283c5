// Package upstream has the endpoints to which Envoys may send requests: how they are described to Envoys, and how Envoys
// acknowledge them.
package upstream

// Health is what Envoy is told about an endpoint. Leases reach an endpoint by name whatever its health; load balancing
// (the fallback when the control plane is away) sees the healthy ones only, and while there are none the degraded ones.
type Health uint8

// Healths in the order of an instance's life.
const (
	Unhealthy Health = iota // published, not ready: starting, or kept for the next instance
	Healthy
	Degraded // it may be reached again at any moment: no worse than an answer that none can
	Draining
)

// An Endpoint is one of Envoy's addresses of a function's instances.
type Endpoint struct {
	Path   string // the unix socket's absolute path; also the name that a lease carries
	Health Health
	Weight uint32 // at least 1
}

// A Source tells what to publish. It is called by one goroutine, never under a lock of the caller's.
type Source interface {
	// Endpoints appends the function's endpoints to buf, in any order, and returns it. One that is not known has none.
	Endpoints(function string, buf []Endpoint) []Endpoint
	// Acked tells which endpoints every connected Envoy now knows: leases may name them. The slice is sorted and
	// belongs to the callee.
	Acked(function string, paths []string)
	// Leaving names the functions that are configured no more, and still have instances or requests. Each time that one of them
	// comes or goes, the function has changed.
	Leaving() []string
	// Connected tells how many Envoys have a stream, whenever that has changed.
	Connected(envoys int)
}
