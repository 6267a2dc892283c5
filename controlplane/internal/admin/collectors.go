package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// bytesPerGB turns the bill's gigabytes into the bytes that metrics are counted in.
const bytesPerGB = 1 << 30

// A functionCollector turns one snapshot of all functions into metrics at each scrape, so that requests pay nothing for
// metrics beyond a plain counter under a lock that they hold anyway.
type functionCollector struct {
	snapshot func() []operator.Function

	returned, inherited                         metric
	requests, queueDepth, queueLimit, queueWait metric
	inFlight, capacity, free, foreign           metric
	concurrency                                 metric
	instances, frozen                           metric
	versions, rollouts, rolloutShare            metric
	starts, startFailures, startsBlocked, ends  metric
	billed, billedMemory                        metric
	billedInvocations, estimatedInvocations     metric
	cost, costPerHour, plainCost, saved         metric
}

func newFunctionCollector(snapshot func() []operator.Function) *functionCollector {
	const function = "function"
	return &functionCollector{
		snapshot: snapshot,
		requests: counter("requests_total",
			"Admissions that ended: dispatched, rejected (never queued) or evicted (queued, then left).",
			function, "outcome", "cause"),
		inherited:  counter("inherited_total", "Instances taken over from the control plane before.", function),
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
			"Billed invocations that Lambda reported nothing about: their time is estimated.", function),
		cost:        gauge("cost_dollars", "What all invocations have cost so far, those that run included.", function),
		costPerHour: gauge("cost_dollars_per_hour", "What the invocations that run now cost per hour.", function),
		plainCost: gauge("plain_cost_dollars",
			"What Lambda with one request per environment would have cost for the same requests.", function),
		saved: gauge("saved_dollars", "The difference; negative if Lambda alone would have been cheaper.", function),
	}
}

// Describe implements prometheus.Collector.
func (c *functionCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []metric{
		c.requests, c.returned, c.inherited, c.queueDepth, c.queueLimit, c.queueWait, c.inFlight, c.capacity, c.free, c.foreign, c.concurrency, c.instances, c.frozen,
		c.versions, c.rollouts, c.rolloutShare,
		c.starts, c.startFailures, c.startsBlocked, c.ends, c.billed, c.billedMemory,
		c.billedInvocations, c.estimatedInvocations, c.cost, c.costPerHour, c.plainCost, c.saved,
	} {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *functionCollector) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c.snapshot() {
		c.collectState(sink(ch), f)
		c.collectCounts(sink(ch), f)
		c.collectBill(sink(ch), f)
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
	s.putAll(c.rollouts, f.Rollouts, f.Name)
}

func (c *functionCollector) collectBill(s sink, f operator.Function) {
	s.put(c.billed, f.Bill.BilledSeconds, f.Name)
	s.put(c.billedMemory, f.Bill.BilledGBSeconds*bytesPerGB, f.Name)
	s.put(c.billedInvocations, float64(f.Bill.Invocations), f.Name)
	s.put(c.estimatedInvocations, float64(f.Bill.Estimated), f.Name)
	s.put(c.cost, f.Bill.Dollars, f.Name)
	s.put(c.costPerHour, f.Bill.DollarsPerHour, f.Name)
	s.put(c.plainCost, f.Bill.Plain.Dollars, f.Name)
	s.put(c.saved, f.Bill.SavedDollars, f.Name)
}

// A relayCollector does the same for the relay.
type relayCollector struct {
	snapshot                                       func() RelayStatus
	connections, tunnels, controls, bytes, refused metric
}

func newRelayCollector(snapshot func() RelayStatus) *relayCollector {
	return &relayCollector{
		snapshot: snapshot,
		connections: gauge("relay_connections",
			"Open connections to the relay's port: admitted, or of strangers, which have shown no valid token yet.", "state"),
		tunnels:  gauge("relay_tunnels", "Open tunnels: idle, or spliced to a connection of Envoy's.", "state"),
		controls: gauge("relay_control_streams", "Open control streams."),
		bytes:    counter("relay_bytes_total", "Bytes copied: to_peer or from_peer.", "direction"),
		refused:  counter("relay_refused_total", "Connections that the relay refused.", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (c *relayCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []metric{c.connections, c.tunnels, c.controls, c.bytes, c.refused} {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *relayCollector) Collect(ch chan<- prometheus.Metric) {
	s, r := sink(ch), c.snapshot()
	s.put(c.connections, float64(r.Admitted), "admitted")
	s.put(c.connections, float64(r.Strangers), "stranger")
	s.put(c.tunnels, float64(r.IdleTunnels), "idle")
	s.put(c.tunnels, float64(r.SplicedTunnels), "spliced")
	s.put(c.controls, float64(r.ControlStreams))
	s.put(c.bytes, float64(r.BytesToPeers), "to_peer")
	s.put(c.bytes, float64(r.BytesFromPeers), "from_peer")
	s.putAll(c.refused, r.Refused)
}

// An uplinkCollector does the same for a relay that runs by itself.
type uplinkCollector struct {
	snapshot                          func() UplinkStatus
	term, attached, instances, untold metric
}

func newUplinkCollector(snapshot func() UplinkStatus) *uplinkCollector {
	return &uplinkCollector{
		snapshot:  snapshot,
		term:      gauge("relay_term", "The highest term of a leader that the relay has seen."),
		attached:  gauge("relay_attached", "1 while the relay has a stream to the control plane that leads, else 0."),
		instances: gauge("relay_instances", "Instances that the relay keeps for leaders, those that have ended included."),
		untold:    gauge("relay_untold_ends", "Instances that have ended, which no leader has heard of yet."),
	}
}

// Describe implements prometheus.Collector.
func (c *uplinkCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []metric{c.term, c.attached, c.instances, c.untold} {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *uplinkCollector) Collect(ch chan<- prometheus.Metric) {
	s, u := sink(ch), c.snapshot()
	s.put(c.term, float64(u.Term))
	s.put(c.attached, flag(u.Attached))
	s.put(c.instances, float64(u.Instances))
	s.put(c.untold, float64(u.Untold))
}

// A leaderCollector does the same for who leads.
type leaderCollector struct {
	snapshot            func() LeaderStatus
	leads, term, relays metric
}

func newLeaderCollector(snapshot func() LeaderStatus) *leaderCollector {
	return &leaderCollector{
		snapshot: snapshot,
		leads:    gauge("leads", "1 while this control plane leads, 0 while it is a standby."),
		term:     gauge("term", "The number of this control plane's leadership; 0 while it is a standby."),
		relays:   gauge("relays", "Relays that are attached."),
	}
}

// Describe implements prometheus.Collector.
func (c *leaderCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []metric{c.leads, c.term, c.relays} {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *leaderCollector) Collect(ch chan<- prometheus.Metric) {
	s, l := sink(ch), c.snapshot()
	s.put(c.leads, flag(l.Leads))
	s.put(c.term, float64(l.Term))
	s.put(c.relays, float64(len(l.Relays)))
}

// An xdsCollector does the same for xDS.
type xdsCollector struct {
	snapshot                             func() XDSStatus
	envoys, pushes, acks, nacks, refused metric
}

func newXDSCollector(snapshot func() XDSStatus) *xdsCollector {
	return &xdsCollector{
		snapshot: snapshot,
		envoys:   gauge("xds_envoys_connected", "Envoys with an open xDS stream."),
		pushes:   counter("xds_pushes_total", "Updates sent to an Envoy.", "type"),
		acks:     counter("xds_acks_total", "Updates that an Envoy accepted.", "type"),
		nacks:    counter("xds_nacks_total", "Updates that an Envoy refused.", "type"),
		refused:  gauge("xds_refused", "Resources that connected Envoys have not taken and are offered again.", "type"),
	}
}

// Describe implements prometheus.Collector.
func (c *xdsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []metric{c.envoys, c.pushes, c.acks, c.nacks, c.refused} {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *xdsCollector) Collect(ch chan<- prometheus.Metric) {
	s, x := sink(ch), c.snapshot()
	s.put(c.envoys, float64(x.Envoys))
	s.putAll(c.pushes, x.Pushes)
	s.putAll(c.acks, x.Acks)
	s.putAll(c.nacks, x.Nacks)
	for service, n := range x.Refused {
		s.put(c.refused, float64(n), service)
	}
}

// A filesCollector does the same for files that others replace.
type filesCollector struct {
	snapshot         func() FilesStatus
	expires, refused metric
}

func newFilesCollector(snapshot func() FilesStatus) *filesCollector {
	return &filesCollector{
		snapshot: snapshot,
		expires: gauge("certificate_expiry_timestamp_seconds",
			"When a certificate that is in use expires, in seconds since 1970.", "certificate"),
		refused: gauge("files_not_taken",
			"1 while files hold something that does not fit, and what they held before is in use.", "file"),
	}
}

// Describe implements prometheus.Collector.
func (c *filesCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.expires.desc
	ch <- c.refused.desc
}

// Collect implements prometheus.Collector.
func (c *filesCollector) Collect(ch chan<- prometheus.Metric) {
	s, f := sink(ch), c.snapshot()
	for name, when := range f.Expires {
		s.put(c.expires, float64(when.Unix()), name)
	}
	for name, why := range f.Refused {
		s.put(c.refused, flag(why != ""), name)
	}
}
