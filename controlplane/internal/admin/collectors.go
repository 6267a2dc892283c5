package admin

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// bytesPerGB converts the bill's gigabytes into bytes, the unit of metrics.
const bytesPerGB = 1 << 30

// A collector reads the metrics of one part at each scrape.
type collector struct {
	metrics []metric
	collect func(sink)
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) { c.collect(ch) }

// A functionCollector turns one snapshot of all functions into metrics at each scrape. So metrics cost a request no more than a counter
// under a lock that it holds anyway.
type functionCollector struct {
	snapshot func() []operator.Function

	returned, inherited                         metric
	requests, queueDepth, queueLimit, queueWait metric
	inFlight, capacity, free, foreign           metric
	concurrency, worn, killers                  metric
	instances, frozen                           metric
	versions, rollouts, rolloutShare            metric
	starts, startFailures, startsBlocked, ends  metric
	billed, billedMemory                        metric
	billedInvocations, estimatedInvocations     metric
	cost, costPerHour, plainCost, saved         metric

	spent, plainSpent highest
}

func newFunctionCollector(snapshot func() []operator.Function) collector {
	const function = "function"
	c := &functionCollector{
		snapshot: snapshot,
		requests: counter("requests_total",
			"Admissions that ended: dispatched, rejected (never queued) or evicted (queued, then left).",
			function, "outcome", "cause"),
		inherited:  counter("inherited_total", "Instances taken over from the former leader.", function),
		returned:   counter("returned_total", "Requests that an instance refused, unseen by the app, and that went back to the queue.", function),
		queueDepth: gauge("queue_depth", "Requests that wait for a slot.", function),
		queueLimit: gauge("queue_limit", "Requests that may wait for a slot.", function),
		queueWait: gauge("queue_wait_seconds",
			"Time from a request's arrival to its slot; 0 for those that found one free.", function),
		inFlight:    gauge("in_flight", "Leases out.", function),
		capacity:    gauge("capacity_slots", "Slots of ready instances.", function),
		concurrency: gauge("concurrency", "Slots of an instance: as configured, or as learned so far.", function),
		free:        gauge("free_slots", "Slots of ready instances that can be leased.", function),
		foreign: gauge("foreign_slots",
			"Slots of ready instances that are taken without a lease: clients have left, and the app works on.", function),
		worn: counter("worn_environments_total",
			"Environments that ended because they were worn, by memory, requests or age, or because they answered with errors.", function, "cause"),
		killers: gauge("killing_route_deaths",
			"Environments that died while they served a request of this route, of routes that are known to kill them and did in the last day.", function, "route"),
		frozen:        gauge("frozen_environments", "Environments that served, and are likely to be kept frozen by Lambda.", function),
		versions:      gauge("version_instances", "Ready instances by version of the function's code.", function, "version"),
		rollouts:      counter("rollouts_total", "Rollouts that ended: done, or given up because of the cause.", function, "outcome"),
		rolloutShare:  gauge("rollout_share", "Share of the capacity that a rollout under way gives to the new version in this step.", function),
		instances:     gauge("instances", "Instances that have not ended.", function, "state"),
		starts:        counter("starts_total", "Instances started.", function),
		startFailures: counter("start_failures_total", "Starts that failed.", function, "cause"),
		startsBlocked: gauge("starts_blocked", "1 while no instance is started because of the cause.", function, "cause"),
		ends:          counter("instance_ends_total", "Instances that ended.", function, "reason"),
		billed:        counter("billed_seconds_total", "Time that Lambda billed for invocations that have ended.", function),
		billedMemory: counter("billed_memory_byte_seconds_total",
			"Billed time multiplied by configured memory; 2^30 of it are one GB-second of the bill.", function),
		billedInvocations: counter("billed_invocations_total", "Invocations that have ended and are billed.", function),
		estimatedInvocations: counter("estimated_invocations_total",
			"Billed invocations whose time is estimated, because Lambda sent no report of them.", function),
		cost:        gauge("cost_dollars", "What all invocations have cost so far, those that run included.", function),
		costPerHour: gauge("cost_dollars_per_hour", "What the invocations that run now cost per hour.", function),
		plainCost: gauge("plain_cost_dollars",
			"What Lambda with one request per environment would have cost for the same requests.", function),
		saved: gauge("saved_dollars", "plain_cost_dollars less cost_dollars: negative if one request per environment would have been cheaper.", function),
	}
	return collector{c.all(), c.collect}
}

// all returns the descriptions of the metrics.
func (c *functionCollector) all() []metric {
	return []metric{
		c.requests, c.returned, c.inherited, c.queueDepth, c.queueLimit, c.queueWait, c.inFlight, c.capacity, c.free, c.foreign, c.concurrency, c.worn, c.killers, c.instances, c.frozen,
		c.versions, c.rollouts, c.rolloutShare,
		c.starts, c.startFailures, c.startsBlocked, c.ends, c.billed, c.billedMemory,
		c.billedInvocations, c.estimatedInvocations, c.cost, c.costPerHour, c.plainCost, c.saved,
	}
}

func (c *functionCollector) collect(s sink) {
	functions := c.snapshot()
	c.spent.keep(functions)
	c.plainSpent.keep(functions)
	for _, f := range functions {
		c.collectState(s, f)
		c.collectCounts(s, f)
		c.collectBill(s, f)
	}
}

func (c *functionCollector) collectState(s sink, f operator.Function) {
	s.put(c.queueDepth, float64(f.QueueDepth), f.Name)
	s.put(c.queueLimit, float64(f.QueueLimit), f.Name)
	s.put(c.inFlight, float64(f.InFlight), f.Name)
	s.put(c.capacity, float64(f.Capacity), f.Name)
	s.put(c.free, float64(f.Free), f.Name)
	s.put(c.foreign, float64(f.Foreign), f.Name)
	s.put(c.concurrency, float64(f.Concurrency), f.Name)
	s.put(c.frozen, float64(f.Frozen), f.Name)
	s.put(c.instances, float64(f.Starting), f.Name, "starting")
	s.put(c.instances, float64(f.Ready), f.Name, "ready")
	s.put(c.instances, float64(f.Draining), f.Name, "draining")
	s.put(c.instances, float64(f.Down), f.Name, "down")
	for version, n := range f.Versions {
		s.put(c.versions, float64(n), f.Name, version)
	}
	if r := f.Rollout; r != nil && r.EndedAt == nil {
		s.put(c.rolloutShare, r.Share, f.Name)
	}
	if f.Blocked != "" {
		s.put(c.startsBlocked, 1, f.Name, f.Blocked)
	}
}

func (c *functionCollector) collectCounts(s sink, f operator.Function) {
	for _, r := range f.Requests {
		s.put(c.requests, float64(r.Count), f.Name, r.Outcome, r.Cause)
	}
	s.put(c.returned, float64(f.Returned), f.Name)
	s.put(c.inherited, float64(f.Inherited), f.Name)
	s.putHistogram(c.queueWait, f.QueueWait, f.Name)
	s.put(c.starts, float64(f.Starts), f.Name)
	s.putAll(c.startFailures, f.StartFailures, f.Name)
	s.putAll(c.ends, f.Ends, f.Name)
	s.putAll(c.worn, f.Worn, f.Name)
	for _, k := range f.Killers {
		s.put(c.killers, float64(k.Deaths), f.Name, k.Route)
	}
	s.putAll(c.rollouts, f.Rollouts, f.Name)
}

func (c *functionCollector) collectBill(s sink, f operator.Function) {
	s.put(c.billed, f.Own.BilledSeconds, f.Name)
	s.put(c.billedMemory, f.Own.BilledGBSeconds*bytesPerGB, f.Name)
	s.put(c.billedInvocations, float64(f.Own.Invocations), f.Name)
	s.put(c.estimatedInvocations, float64(f.Own.Estimated), f.Name)
	s.put(c.cost, c.spent.of(f.Name, f.Own.Dollars), f.Name)
	s.put(c.costPerHour, f.Own.DollarsPerHour, f.Name)
	s.put(c.plainCost, c.plainSpent.of(f.Name, f.Own.Plain.Dollars), f.Name)
	s.put(c.saved, f.Own.SavedDollars, f.Name)
}

// A highest holds what each function's bill has come to at most. An estimate that is corrected makes a bill fall by a little, which
// increase() takes for a new beginning: it would count the whole bill once more.
type highest struct {
	mu      sync.Mutex
	dollars map[string]float64 // by function
}

func (h *highest) of(function string, dollars float64) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dollars[function] = max(h.dollars[function], dollars)
	return h.dollars[function]
}

// keep forgets functions that are gone. One that comes back by the same name begins anew.
func (h *highest) keep(functions []operator.Function) {
	h.mu.Lock()
	defer h.mu.Unlock()
	there := make(map[string]float64, len(functions))
	for _, f := range functions {
		there[f.Name] = h.dollars[f.Name]
	}
	h.dollars = there
}

// newRelayCollector does the same for the relay.
func newRelayCollector(snapshot func() RelayStatus) collector {
	connections := gauge("relay_connections",
		"Open connections to the relay's port: admitted, or of strangers, which have shown no valid token yet.", "state")
	tunnels := gauge("relay_tunnels", "Open tunnels: idle, or spliced to a connection of Envoy's.", "state")
	controls := gauge("relay_control_streams", "Open control streams.")
	bytes := counter("relay_bytes_total", "Bytes copied: to_peer or from_peer.", "direction")
	refused := counter("relay_refused_total", "Connections that the relay refused.", "reason")
	return collector{[]metric{connections, tunnels, controls, bytes, refused}, func(s sink) {
		r := snapshot()
		s.put(connections, float64(r.Admitted), "admitted")
		s.put(connections, float64(r.Strangers), "stranger")
		s.put(tunnels, float64(r.IdleTunnels), "idle")
		s.put(tunnels, float64(r.SplicedTunnels), "spliced")
		s.put(controls, float64(r.ControlStreams))
		s.put(bytes, float64(r.BytesToPeers), "to_peer")
		s.put(bytes, float64(r.BytesFromPeers), "from_peer")
		s.putAll(refused, r.Refused)
	}}
}

// newUplinkCollector does the same for a relay that runs by itself.
func newUplinkCollector(snapshot func() UplinkStatus) collector {
	term := gauge("relay_term", "The highest term of a leader that the relay has seen.")
	attached := gauge("relay_attached", "1 while the relay has a stream to the control plane that leads, else 0.")
	instances := gauge("relay_instances", "Instances that the relay keeps for leaders, those that have ended included.")
	untold := gauge("relay_untold_ends", "Instances that have ended, which no leader has heard of yet.")
	unkept := gauge("relay_unkept", "1 while what the relay knows of its instances cannot be written down, else 0.")
	return collector{[]metric{term, attached, instances, untold, unkept}, func(s sink) {
		u := snapshot()
		s.put(unkept, flag(u.Unkept != ""))
		s.put(term, float64(u.Term))
		s.put(attached, flag(u.Attached))
		s.put(instances, float64(u.Instances))
		s.put(untold, float64(u.Untold))
	}}
}

// newLeaderCollector does the same for who leads.
func newLeaderCollector(snapshot func() LeaderStatus) collector {
	leads := gauge("leads", "1 while this control plane leads, 0 while it is a standby.")
	term := gauge("term", "The number of this control plane's leadership; 0 while it is a standby.")
	relays := gauge("relays", "Relays that are attached.")
	takeover := gauge("takeover_seconds", "Time from this control plane's election until it decided; 0 while it is a standby.")
	observed := gauge("observed_age_seconds", "Time since an attached relay last answered; what is known of its instances is no older.", "relay")
	lease := gauge("lease_age_seconds", "Time since the store of the lease last answered this control plane.")
	errors := counter("lease_errors_total", "Attempts to read or renew the lease that failed.", "cause")
	return collector{[]metric{leads, term, relays, takeover, observed, lease, errors}, func(s sink) {
		l := snapshot()
		s.put(lease, l.Lease.Age.Seconds())
		s.putAll(errors, l.Lease.Errors)
		s.put(takeover, l.Took.Seconds())
		for relay, age := range l.Observed {
			s.put(observed, age.Seconds(), relay)
		}
		s.put(leads, flag(l.Leads))
		s.put(term, float64(l.Term))
		s.put(relays, float64(len(l.Relays)))
	}}
}

// newXDSCollector does the same for xDS.
func newXDSCollector(snapshot func() XDSStatus) collector {
	envoys := gauge("xds_envoys_connected", "Envoys with an open xDS stream.")
	pushes := counter("xds_pushes_total", "Updates sent to an Envoy.", "type")
	acks := counter("xds_acks_total", "Updates that an Envoy accepted.", "type")
	nacks := counter("xds_nacks_total", "Updates that an Envoy refused.", "type")
	refused := gauge("xds_refused", "Resources that connected Envoys have not taken and are offered again.", "type")
	return collector{[]metric{envoys, pushes, acks, nacks, refused}, func(s sink) {
		x := snapshot()
		s.put(envoys, float64(x.Envoys))
		s.putAll(pushes, x.Pushes)
		s.putAll(acks, x.Acks)
		s.putAll(nacks, x.Nacks)
		for service, n := range x.Refused {
			s.put(refused, float64(n), service)
		}
	}}
}

// newFilesCollector does the same for files that others replace.
func newFilesCollector(snapshot func() FilesStatus) collector {
	expires := gauge("certificate_expiry_timestamp_seconds",
		"When a certificate that is in use expires, in seconds since 1970.", "certificate")
	refused := gauge("files_not_taken",
		"1 while a file's new content is refused, and what it held before stays in use.", "file")
	return collector{[]metric{expires, refused}, func(s sink) {
		f := snapshot()
		for name, when := range f.Expires {
			s.put(expires, float64(when.Unix()), name)
		}
		for name, why := range f.Refused {
			s.put(refused, flag(why != ""), name)
		}
	}}
}
