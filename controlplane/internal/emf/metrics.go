package emf

import (
	"math"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// A metric has one of CloudWatch's units.
type metric struct {
	name  string
	unit  string
	value float64
}

// Units.
const (
	count   = "Count"
	millis  = "Milliseconds"
	seconds = "Seconds"
)

// since is what has happened to a function between two looks, and how it is now. docs/metrics.md lists it.
func since(before, now operator.Function) []metric {
	all, refused := requests(now)
	allBefore, refusedBefore := requests(before)
	metrics := []metric{
		{"Requests", count, more(all, allBefore)},
		{"Refused", count, more(refused, refusedBefore)},
		{"Waiting", count, float64(now.QueueDepth)},
		{"Instances", count, float64(now.Ready)},
		{"Starts", count, more(float64(now.Starts), float64(before.Starts))},
		{"StartFailures", count, more(failures(now), failures(before))},
		{"BilledSeconds", seconds, more(billed(now), billed(before))},
	}
	waits := between(before.QueueWait, now.QueueWait)
	for _, p := range []struct {
		name  string
		share float64
	}{{"QueueTimeP50", .5}, {"QueueTimeP90", .9}, {"QueueTimeP99", .99}} {
		if at, ok := quantile(waits, p.share); ok {
			metrics = append(metrics, metric{p.name, millis, math.Round(at * 1000)})
		}
	}
	return metrics
}

// more is how far a counter has come: nowhere if it has fallen, because an estimate was corrected or the function is another one.
func more(now, before float64) float64 {
	if now < before {
		return 0
	}
	return now - before
}

// requests are the admissions that ended, and those of them that got no slot although their client stayed.
func requests(f operator.Function) (all, refused float64) {
	for _, r := range f.Requests {
		all += float64(r.Count)
		if r.Outcome != string(admission.Dispatched) && r.Cause != string(admission.Canceled) {
			refused += float64(r.Count)
		}
	}
	return all, refused
}

func failures(f operator.Function) (n float64) {
	for _, by := range f.StartFailures {
		n += float64(by)
	}
	return n
}

// billed is the time that all invocations have been billed for so far, those that run included where their memory is known: an
// invocation would else count only when it ends, minutes later.
func billed(f operator.Function) float64 {
	if f.Own.MemoryMB == 0 {
		return f.Own.BilledSeconds
	}
	return f.Own.GBSeconds * 1024 / float64(f.Own.MemoryMB)
}

// between is what a histogram has gained.
func between(before, now operator.Histogram) operator.Histogram {
	gained := operator.Histogram{Bounds: now.Bounds, Counts: make([]uint64, len(now.Counts))}
	for i, n := range now.Counts {
		if i < len(before.Counts) && before.Counts[i] <= n {
			n -= before.Counts[i]
		}
		gained.Counts[i] = n
	}
	return gained
}

// quantile estimates the wait below which that share of requests stayed, in seconds, as Prometheus does: evenly spread within its
// bucket. Above the highest bound it is that bound. ok is false if there were none.
func quantile(h operator.Histogram, share float64) (at float64, ok bool) {
	var total uint64
	for _, n := range h.Counts {
		total += n
	}
	if total == 0 || len(h.Bounds) == 0 {
		return 0, false
	}
	rank, below := share*float64(total), 0.0
	for i, n := range h.Counts[:min(len(h.Counts), len(h.Bounds))] {
		if below+float64(n) < rank || n == 0 {
			below += float64(n)
			continue
		}
		lower := 0.0
		if i > 0 {
			lower = h.Bounds[i-1]
		}
		return lower + (h.Bounds[i]-lower)*(rank-below)/float64(n), true
	}
	return h.Bounds[len(h.Bounds)-1], true
}
