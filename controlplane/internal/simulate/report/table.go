// Package report writes results of simulations as tables in Markdown and plots in SVG.
package report

import (
	"cmp"
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

// Table writes a table of all rows.
func Table(w io.Writer, rows []suite.Row) {
	fmt.Fprintln(w, "| workload | policy | billed / bound | billed / least, packed | wait p50 / p95 / p99 / max, ms | p99 settled, ms | "+
		"waited on a cold start, % (settled) | starts cold + warm | GB-s | $ | utilization, % | lost |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s ± %s | %s, %s | %.0f / %.0f / %.0f / %.0f | %.0f ± %.0f | %.2f (%.2f) | %.0f + %.0f | %s | %s | %s | %s |\n",
			r.Workload, r.Policy, ratio(r), figure(r.Ratio.Spread, 3), figure(r.OverLeast.Mean, 3), figure(r.OverPacked.Mean, 3), r.P50.Mean, r.P95.Mean, r.P99.Mean, r.Max.Mean,
			r.Settled.Mean, r.Settled.Spread, r.Cold.Mean, r.SettledCold.Mean, r.ColdStarts.Mean, r.WarmStarts.Mean,
			significant(r.GBSeconds.Mean), significant(r.Dollars.Mean), figure(r.Utilization.Mean, 0), lost(r))
	}
}

// ratio writes a ratio. It stands in brackets where requests were lost.
func ratio(r suite.Row) string {
	if r.Lost.Mean > 0 {
		return "(" + figure(r.Ratio.Mean, 3) + ")"
	}
	return figure(r.Ratio.Mean, 3)
}

// figure writes a number with so many decimals; a dash where it is no number, as the share of no requests.
func figure(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
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

// significant writes three significant digits; of a larger number all digits before the point.
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

// A Verdict holds our policy's row of one workload against the targets, beside the cheapest baseline that lost no request.
type Verdict struct {
	Ours, Cheapest suite.Row // the latter is zero if there is none
}

// Verdicts returns a verdict on each workload that our policy ran.
func Verdicts(rows []suite.Row) (out []Verdict) {
	for len(rows) > 0 {
		n := policies(rows)
		if v := judge(rows[:n]); v.Ours.Policy != "" {
			out = append(out, v)
		}
		rows = rows[n:]
	}
	return out
}

func judge(rows []suite.Row) (v Verdict) {
	for _, r := range rows {
		switch {
		case r.Policy == baseline.Ours:
			v.Ours = r
		case r.Lost.Mean == 0 && (v.Cheapest.Policy == "" || r.Ratio.Mean < v.Cheapest.Ratio.Mean):
			v.Cheapest = r
		}
	}
	return v
}

func (v Verdict) target() float64 {
	if v.Ours.Smooth {
		return SmoothRatio
	}
	return BurstyRatio
}

// Missed returns the targets that are not met.
func (v Verdict) Missed() (out []string) {
	if target := v.target(); v.Ours.Ratio.Mean > target {
		out = append(out, fmt.Sprintf("%.3f billed, target %.2f", v.Ours.Ratio.Mean, target))
	}
	if v.Ours.Settled.Mean > SettledWait {
		out = append(out, fmt.Sprintf("p99 of %.0f ms, target %.0f", v.Ours.Settled.Mean, SettledWait))
	}
	if v.Ours.Smooth && v.Ours.SettledCold.Mean > SettledCold {
		out = append(out, fmt.Sprintf("%.2f %% wait for a cold start, target %.1f", v.Ours.SettledCold.Mean, SettledCold))
	}
	if v.Ours.Lost.Mean > 0 {
		out = append(out, fmt.Sprintf("%.1f requests lost", v.Ours.Lost.Mean))
	}
	return out
}

// Targets writes the verdicts on those workloads that miss a target.
func Targets(w io.Writer, verdicts []Verdict) {
	missing := slices.DeleteFunc(slices.Clone(verdicts), func(v Verdict) bool { return len(v.Missed()) == 0 })
	fmt.Fprintf(w, "%d of %d workloads meet all targets: billed over the bound at most %.2f where traffic is smooth and %.2f elsewhere, a wait of at most %.0f ms "+
		"at the settled p99, and on smooth traffic at most %.1f %% that wait for a cold start when settled.\n", len(verdicts)-len(missing), len(verdicts), SmoothRatio,
		BurstyRatio, SettledWait, SettledCold)
	if len(missing) == 0 {
		return
	}
	fmt.Fprintln(w, "\n| workload | missed | billed / least, packed | cheapest rival: billed / bound; p99, ms |")
	fmt.Fprintln(w, "|---|---|---|---|")
	for _, v := range missing {
		rival := "none"
		if c := v.Cheapest; c.Policy != "" {
			rival = fmt.Sprintf("%s: %.3f; %.0f", c.Policy, c.Ratio.Mean, c.Settled.Mean)
		}
		fmt.Fprintf(w, "| %s | %s | %.3f, %.3f | %s |\n", v.Ours.Workload, strings.Join(v.Missed(), "; "), v.Ours.OverLeast.Mean, v.Ours.OverPacked.Mean, rival)
	}
}

// Steps writes how quickly each policy served a load that began where no environment existed.
func Steps(w io.Writer, rows []suite.StepRow) {
	fmt.Fprintln(w, "| load | policy | queue empty after, ms | instances started | needed by what is in flight if nobody waits |")
	fmt.Fprintln(w, "|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %.0f ± %.0f | %.1f ± %.1f | %.1f |\n",
			r.Workload, r.Policy, r.Empty.Mean, r.Empty.Spread, r.Started.Mean, r.Started.Spread, r.Peak.Mean)
	}
}

// Compare writes one line per workload: what each policy billed over the bound, and how long requests waited.
// Rows are ordered by workload, and have the same policies on each.
func Compare(w io.Writer, rows []suite.Row) {
	head, rule := "| billed / bound; wait p99 settled, ms |", "|---|"
	for _, r := range rows[:policies(rows)] {
		head += " " + r.Policy + " |"
		rule += "---|"
	}
	fmt.Fprintln(w, head)
	fmt.Fprintln(w, rule)
	for same := range slices.Chunk(rows, policies(rows)) {
		fmt.Fprintf(w, "| %s |", same[0].Workload)
		for _, r := range same {
			fmt.Fprintf(w, " %s; %.0f |", ratio(r), r.Settled.Mean)
		}
		fmt.Fprintln(w)
	}
}

// policies returns the number of policies for each workload.
func policies(rows []suite.Row) int {
	n := 1
	for n < len(rows) && rows[n].Workload == rows[0].Workload {
		n++
	}
	return n
}

// Ideas writes one line for each change of our policy: its bill and its waits beside ours. Of each workload our row must come first.
func Ideas(w io.Writer, rows []suite.Row, changes []baseline.Contender) {
	fmt.Fprintln(w, "| policy | is ours, but | bill over ours, mean | most | least | wait p99 settled over ours, ms, most | least |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for k, change := range changes[1:] {
		var mean float64
		var bills, waits []beside
		for same := range slices.Chunk(rows, len(changes)) {
			ours, other := same[0], same[k+1]
			bills = append(bills, beside{ours.Workload, other.Ratio.Mean / ours.Ratio.Mean})
			waits = append(waits, beside{ours.Workload, math.Round(other.Settled.Mean-ours.Settled.Mean) + 0}) // + 0: no -0
			mean += math.Log(other.Ratio.Mean / ours.Ratio.Mean)
		}
		mean = math.Exp(mean / float64(len(bills)))
		fmt.Fprintf(w, "| %s | %s | %.3f | %.3f, %s | %.3f, %s | %+.0f, %s | %+.0f, %s |\n", change.Name, change.About, mean,
			most(bills).value, most(bills).workload, least(bills).value, least(bills).workload,
			most(waits).value, most(waits).workload, least(waits).value, least(waits).workload)
	}
}

// A beside is a number of one policy beside that of ours.
type beside struct {
	workload string
	value    float64
}

func byValue(a, b beside) int { return cmp.Compare(a.value, b.value) }

func most(all []beside) beside  { return slices.MaxFunc(all, byValue) }
func least(all []beside) beside { return slices.MinFunc(all, byValue) }

// Streams writes what it saves to know which requests are streams. Of each workload our row must come first, then that of the policy
// that is not told.
func Streams(w io.Writer, rows []suite.Row) {
	fmt.Fprintln(w, "| streams of 1 to 5 minutes, beside | not told: billed over packed; wait p99 settled, ms | told: bill over that; billed over packed; wait p99 settled, ms |")
	fmt.Fprintln(w, "|---|---|---|")
	for same := range slices.Chunk(rows, 2) {
		told, not := same[0], same[1]
		fmt.Fprintf(w, "| %s | %.3f; %.0f | %.3f; %.3f; %.0f |\n", told.Workload, not.OverPacked.Mean, not.Settled.Mean,
			told.Dollars.Mean/not.Dollars.Mean, told.OverPacked.Mean, told.Settled.Mean)
	}
}

// Concurrency writes the throughput of fixed settings and of learned concurrency.
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
