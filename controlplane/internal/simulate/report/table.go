// Package report shows what simulations found: tables in Markdown, and plots in SVG.
package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/suite"
)

// Table writes every row.
func Table(w io.Writer, rows []suite.Row) {
	fmt.Fprintln(w, "| workload | policy | billed / bound | billed / least, packed | wait p50 / p95 / p99 / max, ms | p99 settled, ms | "+
		"waited on a cold start, % (settled) | starts cold + warm | GB-s | $ | utilization, % | lost |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s ± %.3f | %.3f, %.3f | %.0f / %.0f / %.0f / %.0f | %.0f ± %.0f | %.2f (%.2f) | %.0f + %.0f | %s | %s | %.0f | %s |\n",
			r.Workload, r.Policy, ratio(r), r.Ratio.Spread, r.OverLeast.Mean, r.OverPacked.Mean, r.P50.Mean, r.P95.Mean, r.P99.Mean, r.Max.Mean,
			r.Settled.Mean, r.Settled.Spread, r.Cold.Mean, r.SettledCold.Mean, r.ColdStarts.Mean, r.WarmStarts.Mean,
			significant(r.GBSeconds.Mean), significant(r.Dollars.Mean), r.Utilization.Mean, lost(r))
	}
}

// ratio marks one that was got by losing requests.
func ratio(r suite.Row) string {
	if r.Lost.Mean > 0 {
		return fmt.Sprintf("(%.3f)", r.Ratio.Mean)
	}
	return fmt.Sprintf("%.3f", r.Ratio.Mean)
}

func lost(r suite.Row) string {
	text := fmt.Sprintf("%.1f", r.Lost.Mean)
	if r.Lost.Mean > 0 {
		text = "**" + text + "**"
	}
	if r.Cut.Mean > 0 {
		text += fmt.Sprintf(", cut %.1f", r.Cut.Mean)
	}
	if r.Left.Mean > 0 {
		text += fmt.Sprintf(", left %.1f", r.Left.Mean)
	}
	return text
}

// significant writes three digits that tell something, however small the number; of a large one all before the point.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return strconv.FormatFloat(v, 'f', max(0, decimals), 64)
}

// Targets of a policy on one workload.
const (
	SmoothRatio = 1.10
	BurstyRatio = 1.25
	SettledWait = 50.0 // ms
	SettledCold = 0.1  // %
)

// A Verdict compares our policy on one workload with the targets and with the baselines that lost no request. One that
// itself loses requests meets no target.
type Verdict struct {
	Ours, Cheapest, Quickest suite.Row
	Target                   float64
	Lost                     bool // it lost requests
}

// Verdicts judges each workload that our policy and a baseline ran.
func Verdicts(rows []suite.Row) []Verdict {
	var out []Verdict
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Workload == rows[0].Workload {
			n++
		}
		if v, ok := judge(rows[:n]); ok {
			out = append(out, v)
		}
		rows = rows[n:]
	}
	return out
}

func judge(rows []suite.Row) (Verdict, bool) {
	var v Verdict
	for _, r := range rows {
		switch {
		case r.Policy == baseline.Ours:
			v.Ours = r
			continue
		case r.Lost.Mean > 0:
			continue
		}
		if v.Cheapest.Policy == "" || r.Ratio.Mean < v.Cheapest.Ratio.Mean {
			v.Cheapest = r
		}
		if v.Quickest.Policy == "" || r.Settled.Mean < v.Quickest.Settled.Mean {
			v.Quickest = r
		}
	}
	v.Lost = v.Ours.Lost.Mean > 0
	v.Target = BurstyRatio
	if v.Ours.Smooth {
		v.Target = SmoothRatio
	}
	return v, v.Ours.Policy != "" && v.Cheapest.Policy != ""
}

// Met reports whether the bill is within the target, and no request was lost.
func (v Verdict) Met() bool { return v.Ours.Ratio.Mean <= v.Target && !v.Lost }

func yes(met bool) string {
	if met {
		return "yes"
	}
	return "**no**"
}

// Targets writes the verdicts.
func Targets(w io.Writer, verdicts []Verdict) {
	fmt.Fprintln(w, "| workload | billed / bound | target | met | billed / least, packed | cheapest baseline | wait p99 settled, ms | ≤ 50 ms | "+
		"the cheapest baseline's p99 | the lowest p99 of a baseline | waited on a cold start, settled, % | ≤ 0.1 % |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, v := range verdicts {
		cold := "–"
		if v.Ours.Smooth {
			cold = yes(v.Ours.SettledCold.Mean <= SettledCold)
		}
		fmt.Fprintf(w, "| %s | %s | %.2f | %s | %.3f, %.3f | %s %.3f | %.1f | %s | %.1f | %s %.1f | %.3f | %s |\n",
			v.Ours.Workload, ratio(v.Ours), v.Target, yes(v.Met()), v.Ours.OverLeast.Mean, v.Ours.OverPacked.Mean,
			v.Cheapest.Policy, v.Cheapest.Ratio.Mean,
			v.Ours.Settled.Mean, yes(v.Ours.Settled.Mean <= SettledWait), v.Cheapest.Settled.Mean,
			v.Quickest.Policy, v.Quickest.Settled.Mean, v.Ours.SettledCold.Mean, cold)
	}
}

// Steps writes how quickly the policies got from nothing to a load.
func Steps(w io.Writer, rows []suite.StepRow) {
	fmt.Fprintln(w, "| load | policy | queue empty after, ms | instances started | needed by what is in flight if nobody waits |")
	fmt.Fprintln(w, "|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %.0f ± %.0f | %.1f ± %.1f | %.1f |\n",
			r.Workload, r.Policy, r.Empty.Mean, r.Empty.Spread, r.Started.Mean, r.Started.Spread, r.Peak.Mean)
	}
}

// Ablations writes one line per policy: what was billed over the bound, and how long requests waited, on each workload.
// Rows are ordered by workload, and have the same policies on each.
func Ablations(w io.Writer, rows []suite.Row) {
	n := 1
	for n < len(rows) && rows[n].Workload == rows[0].Workload {
		n++
	}
	head, rule := "| billed / bound; p99 settled, ms; waited on a cold start, settled, % |", "|---|"
	for k := range n {
		head += " " + rows[k].Policy + " |"
		rule += "---|"
	}
	fmt.Fprintln(w, head)
	fmt.Fprintln(w, rule)
	for ; len(rows) >= n; rows = rows[n:] {
		fmt.Fprintf(w, "| %s |", rows[0].Workload)
		for _, r := range rows[:n] {
			fmt.Fprintf(w, " %.3f; %.0f; %.2f |", r.Ratio.Mean, r.Settled.Mean, r.SettledCold.Mean)
		}
		fmt.Fprintln(w)
	}
}

// Concurrency writes what fixed settings and the learned one reach.
func Concurrency(w io.Writer, rows []suite.ConcurrencyRow) {
	fmt.Fprint(w, "| requests/s of ten instances at a p99 of 1 s |")
	settings := slices.Sorted(maps.Keys(rows[0].Fixed))
	for _, c := range settings {
		fmt.Fprintf(w, " %d |", c)
	}
	fmt.Fprintln(w, " learned | of the best |")
	fmt.Fprintln(w, strings.Repeat("|---", len(settings)+3)+"|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s |", r.Kind)
		for _, c := range settings {
			fmt.Fprintf(w, " %.0f |", r.Fixed[c])
		}
		fmt.Fprintf(w, " %.0f ± %.0f | %.0f %% |\n", r.Learned.Mean, r.Learned.Spread, 100*r.Learned.Mean/r.Fixed[r.Best])
	}
}
