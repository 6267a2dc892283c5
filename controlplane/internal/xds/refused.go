package xds

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// Pauses before a refused resource is offered again, because the reason may be gone, for example a port in use. They double up to
// the longest.
const (
	offerFirst   = 500 * time.Millisecond
	offerLongest = 10 * time.Second
	// maxWhy bounds Envoy's reason, in bytes.
	maxWhy = 500
)

// A Refusal is a resource that a connected Envoy has not taken.
type Refusal struct {
	Envoy    string    // cluster/id of its node
	Service  string    // lds, rds, cds, eds, sds
	Resource string    // its name; Envoy refuses whole responses, so at first the fault may be another resource's
	Why      string    // in Envoy's words
	Since    time.Time // of the first refusal
	Offers   int       // how often it has been refused
}

// refused is one resource that one Envoy has not taken.
type refused struct {
	why    string
	since  time.Time
	offers int
	next   time.Time // when it is offered again; zero while an answer is on its way
}

// refuse records that Envoy has refused what a response held, and tells whether that is news.
func (s *streamState) refuse(p pending, why string, now time.Time) answer {
	why, news := why[:min(len(why), maxWhy)], refusedAgain
	if s.refused[p.url] == nil {
		s.refused[p.url] = make(map[string]*refused)
	}
	for _, name := range p.names {
		r := s.refused[p.url][name]
		if r == nil {
			r = &refused{since: now}
			s.refused[p.url][name] = r
		}
		if r.why != why {
			r.why, news = why, refusedNow
		}
		r.offers++
		if !s.underWay(p.url, name) {
			r.next = now.Add(offerPause(r.offers))
		}
	}
	return news
}

// underWay tells whether a later version of the resource waits for Envoy's answer.
func (s *streamState) underWay(url, name string) bool {
	for _, p := range s.pending {
		if p.url == url && slices.Contains(p.names, name) {
			return true
		}
	}
	return false
}

func offerPause(offers int) time.Duration {
	whole := min(offerFirst<<min(offers-1, 10), offerLongest)
	return whole*3/4 + rand.N(whole/2)
}

// offer requests, on behalf of Envoys, the refused resources that are due to be offered again.
func (t *tracker) offer(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stream := range t.streams {
		for url, byName := range stream.refused {
			for name, r := range byName {
				if r.next.IsZero() || r.next.After(now) {
					continue
				}
				r.next = time.Time{}
				if !stream.again.ask(url, name) {
					r.next = now.Add(offerLongest)
				}
			}
		}
	}
}

// nextOffer is when offer is next due; zero: not before another event.
func (t *tracker) nextOffer() (next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stream := range t.streams {
		for _, byName := range stream.refused {
			for _, r := range byName {
				if !r.next.IsZero() && (next.IsZero() || r.next.Before(next)) {
					next = r.next
				}
			}
		}
	}
	return next
}

func (t *tracker) refusalsLocked() []Refusal {
	var all []Refusal
	for _, stream := range t.streams {
		for url, byName := range stream.refused {
			for name, r := range byName {
				all = append(all, Refusal{stream.node, services[url], name, r.why, r.since, r.offers})
			}
		}
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Envoy, b.Envoy))
	})
	return all
}

// again carries requests on behalf of an Envoy.
type again chan *discoveryv3.DeltaDiscoveryRequest

// ask requests a resource once more. Each resource then comes in a response of its own, so that another refusal is about it
// alone. ask tells whether there was room for the request.
func (a again) ask(url, name string) bool {
	one := []string{name}
	requests := []*discoveryv3.DeltaDiscoveryRequest{
		{TypeUrl: url, ResourceNamesUnsubscribe: one},
		{TypeUrl: url, ResourceNamesSubscribe: one},
	}
	if whole(url) {
		// With a wildcard subscription, the protocol demands that a resource is sent when its own subscription ends.
		requests = []*discoveryv3.DeltaDiscoveryRequest{{TypeUrl: url, ResourceNamesSubscribe: one, ResourceNamesUnsubscribe: one}}
	}
	if cap(a)-len(a) < len(requests) {
		return false // the caller tries again later; only the tracker writes, holding its lock, so the check is safe
	}
	for _, r := range requests {
		a <- r
	}
	return true
}
