package xds

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/sirupsen/logrus"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
)

// Stats count what has happened since New, by Envoy's short names of the services: lds, rds, cds, eds, sds.
type Stats struct {
	Pushes    map[string]uint64 // responses sent
	Acks      map[string]uint64 // responses that an Envoy acknowledged
	Nacks     map[string]uint64 // responses that an Envoy refused
	Connected int               // Envoys with a stream now
	LastLeft  time.Time         // when the last Envoy disconnected; zero while one is connected, or if none ever was
	Refusals  []Refusal         // what connected Envoys have refused, in a stable order
}

var services = map[string]string{
	resourcev3.ListenerType: "lds",
	resourcev3.RouteType:    "rds",
	resourcev3.ClusterType:  "cds",
	resourcev3.EndpointType: "eds",
	resourcev3.SecretType:   "sds",
}

// A tracker knows what each Envoy has acknowledged. It identifies an Envoy by its stream, because ids in bootstraps need not
// differ.
//
// The endpoints of a function that every Envoy knows are the intersection over the streams that serve it. A new Envoy serves
// nothing before it has acknowledged endpoints, so it counts from its first acknowledgement, and delays nothing. One that
// reconnects already serves, so it counts from its first request, and knows nothing at first. When the last stream ends the last
// result stays: that Envoy is gone, or keeps serving with what it has.
type tracker struct {
	log  logrus.FieldLogger
	wake chan struct{} // capacity 1: news has something

	mu       sync.Mutex          // guards the fields below
	want     map[string][]string // by type URL: the names of a full state
	streams  map[int64]*streamState
	told     map[string][]string // by function: the paths that the Source was told
	lastLeft time.Time
	counters Stats
}

// A streamState is what one Envoy knows.
type streamState struct {
	node    string
	again   again
	refused map[string]map[string]*refused // by type URL and name
	pending map[string]pending             // by nonce: what the unanswered response held
	acked   map[string]map[string]struct{} // by type URL: names acknowledged at least once
	whole   bool                           // it has had a full state, and keeps serving with that whatever follows
	known   map[string][]string            // by function: the paths that it knows; an entry means that this Envoy serves it
}

type pending struct {
	url   string
	names []string
	paths map[string][]string // endpoints only: by function
}

// expectations names every resource of a full state.
func expectations(set ResourceSet, functions, secrets []string) map[string][]string {
	want := map[string][]string{resourcev3.EndpointType: functions, resourcev3.SecretType: secrets}
	for _, l := range set.Listeners {
		want[resourcev3.ListenerType] = append(want[resourcev3.ListenerType], l.GetName())
	}
	for _, r := range set.Routes {
		want[resourcev3.RouteType] = append(want[resourcev3.RouteType], r.GetName())
	}
	for _, c := range set.Clusters {
		want[resourcev3.ClusterType] = append(want[resourcev3.ClusterType], c.GetName())
	}
	return want
}

func newTracker(want map[string][]string, log logrus.FieldLogger) *tracker {
	return &tracker{
		want:    want,
		log:     log,
		wake:    make(chan struct{}, 1),
		streams: make(map[int64]*streamState),
		told:    make(map[string][]string),
		counters: Stats{
			Pushes: make(map[string]uint64), Acks: make(map[string]uint64), Nacks: make(map[string]uint64),
		},
	}
}

// expect sets what a full state is from now on.
func (t *tracker) expect(want map[string][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stream := range t.streams {
		stream.whole = stream.whole || stream.complete(t.want)
	}
	t.want = want
	for _, stream := range t.streams {
		for _, url := range []string{resourcev3.ListenerType, resourcev3.RouteType, resourcev3.SecretType} {
			maps.DeleteFunc(stream.refused[url], func(name string, _ *refused) bool { return !slices.Contains(want[url], name) })
		}
	}
}

// all tells whether every Envoy has acknowledged the clusters and endpoints of these functions.
func (t *tracker) all(functions []string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stream := range t.streams {
		for _, name := range functions {
			want := map[string][]string{resourcev3.ClusterType: {name, name + upgradeSuffix}, resourcev3.EndpointType: {name}}
			if !stream.complete(want) {
				return false
			}
		}
	}
	return true
}

// forget drops what is known about a function that was removed, because another one may get its name.
func (t *tracker) forget(function string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.told, function)
	for _, stream := range t.streams {
		delete(stream.known, function)
		delete(stream.acked[resourcev3.EndpointType], function)
		for _, name := range []string{function, function + upgradeSuffix} {
			delete(stream.acked[resourcev3.ClusterType], name)
			delete(stream.refused[resourcev3.ClusterType], name)
		}
		delete(stream.refused[resourcev3.EndpointType], function)
	}
}

func (t *tracker) opened(id int64, again again) {
	defer t.nudge()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams[id] = &streamState{
		again:   again,
		refused: make(map[string]map[string]*refused),
		pending: make(map[string]pending),
		acked:   make(map[string]map[string]struct{}),
		known:   make(map[string][]string),
	}
}

func (t *tracker) closed(id int64) {
	t.mu.Lock()
	stream := t.streams[id]
	delete(t.streams, id)
	left := len(t.streams)
	if stream != nil && left == 0 {
		t.lastLeft = time.Now()
	}
	t.mu.Unlock()
	if stream != nil {
		t.log.WithFields(logrus.Fields{"envoy": stream.node, "connected": left}).Info("an Envoy disconnected")
	}
	t.nudge()
}

func (t *tracker) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// sent records what a response holds, before it is sent.
func (t *tracker) sent(id int64, r *discoveryv3.DeltaDiscoveryResponse) {
	p := pending{url: r.GetTypeUrl()}
	for _, resource := range r.GetResources() {
		p.names = append(p.names, resource.GetName())
	}
	if p.url == resourcev3.EndpointType {
		p.paths = pathsIn(r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counters.Pushes[services[p.url]]++
	if stream := t.streams[id]; stream != nil {
		stream.pending[r.GetNonce()] = p
		for _, name := range p.names {
			if refused := stream.refused[p.url][name]; refused != nil {
				refused.next = time.Time{} // Envoy will answer
			}
		}
	}
}

// pathsIn reads the paths from the response, because what is published may have changed since.
func pathsIn(r *discoveryv3.DeltaDiscoveryResponse) map[string][]string {
	paths := make(map[string][]string)
	for _, resource := range r.GetResources() {
		assignment := &endpointv3.ClusterLoadAssignment{}
		if err := resource.GetResource().UnmarshalTo(assignment); err != nil {
			continue // it is not an assignment, so no lease may name its endpoints
		}
		paths[resource.GetName()] = pathsOf(assignment)
	}
	return paths
}

// received handles a request: the first of its type, an acknowledgement, a refusal, or a change of subscription.
func (t *tracker) received(id int64, r *discoveryv3.DeltaDiscoveryRequest) {
	t.mu.Lock()
	stream := t.streams[id]
	if stream == nil {
		t.mu.Unlock()
		return
	}
	connected := t.introduce(stream, r)
	t.alreadyServes(stream, r)
	news := t.settle(stream, r)
	t.mu.Unlock()
	if connected {
		t.log.WithField("envoy", stream.node).Info("an Envoy connected")
	}
	log := t.log.WithFields(logrus.Fields{"envoy": stream.node, "service": services[r.GetTypeUrl()]})
	switch news {
	case refusedNow:
		log.WithField("detail", r.GetErrorDetail().GetMessage()).Error("Envoy refuses what it was sent; it is offered again")
	case refusedAgain:
		log.WithField("detail", r.GetErrorDetail().GetMessage()).Debug("Envoy refuses again what it was sent")
	case taken:
		log.Info("Envoy has taken what it had refused")
	}
	t.nudge()
}

// introduce records the Envoy's node, which the first request names. It tells whether this is that request.
func (t *tracker) introduce(stream *streamState, r *discoveryv3.DeltaDiscoveryRequest) bool {
	if stream.node != "" || r.GetNode() == nil {
		return false
	}
	stream.node = fmt.Sprintf("%s/%s", r.GetNode().GetCluster(), r.GetNode().GetId())
	return true
}

// alreadyServes records the functions of which a reconnecting Envoy has endpoints. It is not known which endpoints it has.
func (t *tracker) alreadyServes(stream *streamState, r *discoveryv3.DeltaDiscoveryRequest) {
	if r.GetTypeUrl() != resourcev3.EndpointType {
		return
	}
	for name := range r.GetInitialResourceVersions() {
		if _, ok := stream.known[name]; !ok {
			stream.known[name] = nil
		}
	}
}

// An answer says what is new in an Envoy's answer to a response.
type answer uint8

const (
	ordinary answer = iota
	refusedNow
	refusedAgain // for the same reason
	taken        // what was refused before
)

// settle matches the request with the response that it answers, and tells what is new.
func (t *tracker) settle(stream *streamState, r *discoveryv3.DeltaDiscoveryRequest) answer {
	p, ok := stream.pending[r.GetResponseNonce()]
	if !ok {
		return ordinary
	}
	delete(stream.pending, r.GetResponseNonce())
	if r.GetErrorDetail() != nil {
		t.counters.Nacks[services[p.url]]++
		return stream.refuse(p, r.GetErrorDetail().GetMessage(), time.Now())
	}
	t.counters.Acks[services[p.url]]++
	return stream.take(p)
}

func (s *streamState) take(p pending) answer {
	news := ordinary
	if s.acked[p.url] == nil {
		s.acked[p.url] = make(map[string]struct{})
	}
	for _, name := range p.names {
		s.acked[p.url][name] = struct{}{}
		if s.refused[p.url][name] != nil {
			delete(s.refused[p.url], name)
			news = taken
		}
	}
	maps.Copy(s.known, p.paths)
	return news
}

// news returns the functions of which the commonly known paths have changed since its last call. The caller may keep the slices,
// but must not change them.
func (t *tracker) news() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := make(map[string][]string)
	for _, function := range t.want[resourcev3.EndpointType] {
		paths, served := t.common(function)
		if served && !slices.Equal(paths, t.told[function]) {
			news[function] = slices.Clone(paths)
			t.told[function] = paths
		}
	}
	return news
}

// common returns the paths of a function that every Envoy knows that serves it, and whether any Envoy serves it.
func (t *tracker) common(function string) (paths []string, served bool) {
	for _, stream := range t.streams {
		known, ok := stream.known[function]
		switch {
		case !ok:
		case !served:
			paths, served = known, true
		default:
			paths = intersection(paths, known)
		}
	}
	return paths, served
}

// intersection of two sorted slices, in a new one.
func intersection(a, b []string) []string {
	var both []string
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			both = append(both, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return both
}

// connected is the number of streams.
func (t *tracker) connected() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.streams)
}

func (t *tracker) ready() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stream := range t.streams {
		if stream.whole = stream.whole || stream.complete(t.want); stream.whole {
			return true
		}
	}
	return false
}

func (s *streamState) complete(want map[string][]string) bool {
	for url, names := range want {
		for _, name := range names {
			if _, ok := s.acked[url][name]; !ok {
				return false
			}
		}
	}
	return true
}

func (t *tracker) stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := t.counters
	stats.Pushes, stats.Acks, stats.Nacks = maps.Clone(stats.Pushes), maps.Clone(stats.Acks), maps.Clone(stats.Nacks)
	stats.Connected, stats.Refusals = len(t.streams), t.refusalsLocked()
	if stats.Connected == 0 {
		stats.LastLeft = t.lastLeft
	}
	return stats
}
