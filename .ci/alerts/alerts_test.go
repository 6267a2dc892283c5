// Package alerts holds the alert rules and the Grafana dashboard against the metrics that there are, and the rules against what
// they are to fire on. It is a module of its own because Prometheus is a large dependency.
package alerts

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

const (
	rulesFile     = "../../deploy/prometheus/rules.yml"
	dashboardFile = "../../deploy/grafana/lambda-dispatch.json"
	metricsFile   = "../../docs/metrics.md"
	runbookFile   = "../../docs/runbook.md"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

var promQL = parser.NewParser(parser.Options{})

// rules are all alerts, by name.
func rules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	all := map[string]rulefmt.Rule{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			require.NotContains(t, all, rule.Alert)
			all[rule.Alert] = rule
		}
	}
	return all
}

// metrics are the labels of each series name that is documented. A test of the control plane holds the document equal to what
// it exports.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	series := map[string][]string{
		"process_resident_memory_bytes": nil, "process_cpu_seconds_total": nil, "go_goroutines": nil, "up": nil,
	}
	rows := regexp.MustCompile("(?m)^\\| `(lambda_dispatch_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(read(t, metricsFile), -1)
	require.Greater(t, len(rows), 40)
	for _, row := range rows {
		var names []string
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[3], -1) {
			names = append(names, name[1])
		}
		if row[2] != "histogram" {
			series[row[1]] = names
			continue
		}
		series[row[1]+"_bucket"] = append(slices.Clone(names), "le")
		series[row[1]+"_sum"], series[row[1]+"_count"] = names, names
	}
	return series
}

// scraped are the labels that Prometheus adds.
var scraped = []string{"job", "instance", labels.MetricName}

// check holds one expression against the metrics: their names, their labels, and values of labels that are words of ours.
func check(t *testing.T, series map[string][]string, expression string) {
	t.Helper()
	parsed, err := promQL.ParseExpr(expression)
	require.NoError(t, err, expression)
	words := read(t, metricsFile)
	names := map[string]bool{}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			known, exists := series[n.Name]
			require.True(t, exists, "no such metric: %s in %s", n.Name, expression)
			for _, name := range append(slices.Clone(known), scraped...) {
				names[name] = true
			}
			checkMatchers(t, n, append(slices.Clone(known), scraped...), words)
		case *parser.AggregateExpr:
			for _, name := range n.Grouping {
				require.True(t, labelOf(n.Expr, series, name), "no series below has the label %s: %s", name, expression)
			}
		}
		return nil
	})
}

// checkMatchers looks at what is between braces. A word that is matched must stand in the document.
func checkMatchers(t *testing.T, n *parser.VectorSelector, known []string, words string) {
	t.Helper()
	for _, m := range n.LabelMatchers {
		require.Contains(t, known, m.Name, n.String())
		if m.Name == labels.MetricName || strings.Contains(m.Value, "$") {
			continue
		}
		for word := range strings.SplitSeq(m.Value, "|") {
			if word != "" {
				require.Contains(t, words, "`"+word+"`", "%s: nothing has this value of %s", n, m.Name)
			}
		}
	}
}

// labelOf tells whether a series below an expression has a label.
func labelOf(e parser.Expr, series map[string][]string, name string) bool {
	found := false
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if n, ok := node.(*parser.VectorSelector); ok && slices.Contains(append(slices.Clone(series[n.Name]), scraped...), name) {
			found = true
		}
		return nil
	})
	return found
}

func TestRulesAskForMetricsThatThereAre(t *testing.T) {
	series := metrics(t)
	for name, rule := range rules(t) {
		t.Run(name, func(t *testing.T) { check(t, series, rule.Expr) })
	}
}

// Whoever is woken up finds what to do.
func TestEachAlertHasAParagraphInTheRunbook(t *testing.T) {
	const runbook = "https://github.com/lambda-dispatch/lambda-dispatch/blob/main/docs/runbook.md#"
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^### (\S+)$`).FindAllStringSubmatch(read(t, runbookFile), -1) {
		headings = append(headings, m[1])
	}
	all := rules(t)
	for name, rule := range all {
		require.Contains(t, headings, name)
		require.Equal(t, runbook+strings.ToLower(name), rule.Annotations["runbook_url"])
		require.NotEmpty(t, rule.Annotations["summary"])
		require.Contains(t, []string{"page", "ticket", "info"}, rule.Labels["severity"])
	}
	require.Len(t, headings, len(all), "a paragraph for an alert that is not there")
}

// A panel of a dashboard, as far as it matters here.
type panel struct {
	Title   string  `json:"title"`
	Panels  []panel `json:"panels"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
	Grid struct {
		X, Y, W, H int
	} `json:"gridPos"`
}

// TestTheDashboardAsksForMetricsThatThereAre also sees to it that every metric of ours is looked at somewhere.
func TestTheDashboardAsksForMetricsThatThereAre(t *testing.T) {
	var dashboard struct {
		UID         string `json:"uid"`
		Annotations struct {
			List []struct{ Expr string }
		}
		Panels     []panel `json:"panels"`
		Templating struct {
			List []struct {
				Name, Type string
				Query      any
			} `json:"list"`
		} `json:"templating"`
	}
	text := read(t, dashboardFile)
	require.NoError(t, json.Unmarshal([]byte(text), &dashboard))
	require.Equal(t, "lambda-dispatch", dashboard.UID)
	series, expressions := metrics(t), 0
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$__interval", "1m")
	for _, annotation := range dashboard.Annotations.List {
		check(t, series, annotation.Expr)
	}
	for _, p := range flat(dashboard.Panels) {
		require.LessOrEqual(t, p.Grid.X+p.Grid.W, 24, p.Title)
		for _, target := range p.Targets {
			expressions++
			check(t, series, variables.Replace(target.Expr))
		}
	}
	require.Greater(t, expressions, 20)
	for name := range series {
		if base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count"); strings.HasPrefix(name, "lambda_dispatch_") {
			require.Contains(t, text, base, "no panel shows it")
		}
	}
}

func flat(panels []panel) []panel {
	var all []panel
	for _, p := range panels {
		all = append(append(all, p), flat(p.Panels)...)
	}
	return all
}
