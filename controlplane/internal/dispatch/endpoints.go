package dispatch

import (
	"fmt"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
)

// retention is how long an endpoint stays published after its last instance has gone. A burst that recurs within this time
// changes only health in Envoy, not membership, which is cheaper.
const retention = 10 * time.Minute

// endpoints are a function's addresses in Envoy, by the pool's instance index. Guarded by the function's mu.
type endpoints struct {
	list []endpoint
}

type endpoint struct {
	path     string
	instance *instance // nil between instances
	known    bool      // every connected Envoy knows it, so leases may name it
	lastUsed time.Time
}

func endpointName(function string, index int) string { return fmt.Sprintf("%s/%04d", function, index) }

func (e *endpoints) path(index int) string { return e.list[index].path }

// assign gives an instance the endpoint of its index, and creates the endpoint if the index is new.
func (e *endpoints) assign(i *instance, path func(index int) string) {
	index := i.core.Index()
	for len(e.list) <= index {
		e.list = append(e.list, endpoint{path: path(len(e.list))})
	}
	e.list[index].instance = i
}

func (e *endpoints) vacate(i *instance, at time.Time) {
	if p := &e.list[i.core.Index()]; p.instance == i {
		p.instance, p.lastUsed = nil, at
	}
}

// trim drops the endpoints at the end of the list that were not used for the retention time. Indexes are assigned lowest first,
// so unused endpoints gather there.
func (e *endpoints) trim(at time.Time) {
	n := len(e.list)
	for n > 0 && e.list[n-1].instance == nil && at.Sub(e.list[n-1].lastUsed) > retention {
		n--
	}
	e.list = slices.Delete(e.list, n, len(e.list))
}

// appendEndpoints appends what Envoy is told to buf.
func (f *function) appendEndpoints(buf []upstream.Endpoint) []upstream.Endpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endpoints.trim(now())
	for _, e := range f.endpoints.list {
		buf = append(buf, e.describe())
	}
	return buf
}

func (e endpoint) describe() upstream.Endpoint {
	out := upstream.Endpoint{Path: e.path, Health: upstream.Unhealthy, Weight: 1}
	if e.instance == nil {
		return out
	}
	switch core := e.instance.core; {
	case core.State() == pool.Ready:
		out.Health = upstream.Healthy
		out.Weight = uint32(max(core.Free(), 1))
	case core.State() == pool.Draining:
		out.Health = upstream.Draining
	case e.instance.isUp: // the relay, or its peer, may come back
		out.Health = upstream.Degraded
	}
	return out
}

// reach tells the pool whether an Envoy is connected, and that one more or one less is.
func (f *function) reach(reachable bool) {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Interrupted(at) })
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Reach(at, reachable) })
}

// acked records which endpoints Envoy knows. Instances that waited only for that begin to serve. paths is sorted.
func (f *function) acked(paths []string) {
	var todo effects
	f.mu.Lock()
	at := now()
	f.wake(at, &todo)
	for n := range f.endpoints.list {
		e := &f.endpoints.list[n]
		_, e.known = slices.BinarySearch(paths, e.path)
		if e.known && e.instance != nil && e.instance.dialled > 0 {
			f.ready(at, e.instance, &todo)
		}
	}
	f.apply(at, f.pool.Reach(at, true), &todo)
	f.mu.Unlock()
	todo.carryOut(f)
}
