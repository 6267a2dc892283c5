package admin

import (
	"errors"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

const namespace = "lambda_dispatch"

// register adds every metric to the registry.
func register(o Options) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": o.Version, "go_version": runtime.Version()},
	})
	build.Set(1)
	all := []prometheus.Collector{
		build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	if o.Source != nil {
		all = append(all, newFunctionCollector(o.Source.Functions))
	}
	if o.Relay != nil {
		all = append(all, newRelayCollector(o.Relay))
	}
	if o.Uplink != nil {
		all = append(all, newUplinkCollector(o.Uplink))
	}
	if o.Leader != nil {
		all = append(all, newLeaderCollector(o.Leader))
	}
	if o.XDS != nil {
		all = append(all, newXDSCollector(o.XDS))
	}
	if o.Reloader != nil {
		all = append(all, newReloadCollector(o.Reloader.Last))
	}
	if o.Files != nil {
		all = append(all, newFilesCollector(o.Files))
	}
	var errs []error
	for _, c := range all {
		errs = append(errs, o.Registry.Register(c))
	}
	return errors.Join(errs...)
}

// A metric is a description with the type of its values.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) metric {
	m := gauge(name, help, labels...)
	m.kind = prometheus.CounterValue
	return m
}

// A sink takes the values of one scrape.
type sink chan<- prometheus.Metric

func (s sink) put(m metric, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
}

// flag is the value of a gauge that is 1 while something is so.
func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// putAll puts one value for each key. The key becomes the last label.
func (s sink) putAll(m metric, values map[string]uint64, labels ...string) {
	for key, value := range values {
		s.put(m, float64(value), append(labels[:len(labels):len(labels)], key)...)
	}
}

func (s sink) putHistogram(m metric, h operator.Histogram, labels ...string) {
	cumulative, count := make(map[float64]uint64, len(h.Bounds)), uint64(0)
	for i, n := range h.Counts {
		count += n
		if i < len(h.Bounds) {
			cumulative[h.Bounds[i]] = count
		}
	}
	s <- prometheus.MustNewConstHistogram(m.desc, count, h.Sum, cumulative, labels...)
}
