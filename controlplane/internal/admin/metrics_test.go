package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// everything returns a registry in which every metric has a value.
func everything(t *testing.T) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	require.NoError(t, register(Options{
		Registry: registry, Source: &fake{}, Version: "1.2.3",
		Relay: relayStatus, Uplink: func() UplinkStatus { return UplinkStatus{Term: 3, Attached: true, Instances: 5, Untold: 1} },
		Leader: leaderStatus, XDS: xdsStatus, Files: filesStatus, Reloader: &fakeReloader{},
	}))
	return registry
}

func relayStatus() RelayStatus {
	return RelayStatus{8, 9, 5, 6, 7, 100, 200, map[string]uint64{"bad_token": 3}, map[string]time.Time{"bad_token": time.Unix(1_800_000_000, 0).UTC()}}
}

func leaderStatus() LeaderStatus {
	return LeaderStatus{
		Leads: true, Term: 3, Relays: []string{"edge-1"}, Took: 1500 * time.Millisecond, Observed: map[string]time.Duration{"edge-1": 250 * time.Millisecond},
		Lease: LeaseStatus{Age: 90 * time.Second, Detail: "no space left on device", Cause: "full", Errors: map[string]uint64{"full": 360, "denied": 0}},
	}
}

func xdsStatus() XDSStatus {
	return XDSStatus{1, map[string]uint64{"eds": 4}, map[string]uint64{"eds": 3}, map[string]uint64{"cds": 1}, map[string]int{"lds": 2}}
}

func filesStatus() FilesStatus {
	return FilesStatus{
		Expires: map[string]time.Time{"listener/front": time.Unix(1_800_000_000, 0)},
		Refused: map[string]string{"listener/front": "", "relay": "the key does not fit"},
	}
}

func TestMetricsPassLint(t *testing.T) {
	families, err := everything(t).Gather()
	require.NoError(t, err)
	ours := slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), namespace) })
	require.NotEmpty(t, ours)
	problems, err := promlint.NewWithMetricFamilies(ours).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestMetricValues(t *testing.T) {
	d := open(t, func(o *Options) {
		o.Relay, o.XDS, o.Files, o.Leader = relayStatus, xdsStatus, filesStatus, leaderStatus
		o.Uplink = func() UplinkStatus { return UplinkStatus{Unkept: "read-only file system"} }
	})
	_, body := d.do(t, "GET", "/metrics", "")
	for _, line := range strings.Split(strings.TrimSpace(`
billed_invocations_total{function="web"} 3
billed_seconds_total{function="web"} 20
billed_memory_byte_seconds_total{function="web"} 1.073741824e+10
capacity_slots{function="web"} 20
cost_dollars{function="web"} 0.25
cost_dollars_per_hour{function="web"} 0.25
estimated_invocations_total{function="web"} 1
free_slots{function="web"} 6
returned_total{function="web"} 5
foreign_slots{function="web"} 2
in_flight{function="api"} 0
in_flight{function="web"} 12
instance_ends_total{function="web",reason="scale_in"} 4
instances{function="web",state="down"} 0
instances{function="web",state="draining"} 1
instances{function="web",state="ready"} 2
instances{function="web",state="starting"} 3
plain_cost_dollars{function="web"} 0.125
queue_depth{function="web"} 1
queue_limit{function="web"} 1000
queue_wait_seconds_bucket{function="web",le="0"} 4
queue_wait_seconds_bucket{function="web",le="0.1"} 6
queue_wait_seconds_bucket{function="web",le="+Inf"} 7
queue_wait_seconds_sum{function="web"} 1.5
queue_wait_seconds_count{function="web"} 7
queue_wait_seconds_count{function="api"} 0
leads 1
lease_age_seconds 90
lease_errors_total{cause="denied"} 0
lease_errors_total{cause="full"} 360
observed_age_seconds{relay="edge-1"} 0.25
relay_bytes_total{direction="from_peer"} 200
relay_bytes_total{direction="to_peer"} 100
relay_connections{state="admitted"} 9
relay_connections{state="stranger"} 8
relay_control_streams 7
relay_unkept 1
relay_refused_total{reason="bad_token"} 3
relay_tunnels{state="idle"} 5
relay_tunnels{state="spliced"} 6
requests_total{cause="",function="web",outcome="dispatched"} 7
requests_total{cause="queue_full",function="web",outcome="rejected"} 2
start_failures_total{cause="throttled_rate",function="web"} 3
rollout_share{function="web"} 0.5
rollouts_total{function="web",outcome="done"} 1
saved_dollars{function="web"} -0.125
starts_blocked{cause="throttled_rate",function="web"} 1
starts_total{function="web"} 9
takeover_seconds 1.5
worn_environments_total{cause="memory",function="web"} 2
killing_route_deaths{function="web",route="GET /pdf/{id}"} 5
concurrency{function="web"} 10
xds_acks_total{type="eds"} 3
xds_envoys_connected 1
xds_nacks_total{type="cds"} 1
xds_pushes_total{type="eds"} 4
xds_refused{type="lds"} 2
certificate_expiry_timestamp_seconds{certificate="listener/front"} 1.8e+09
files_not_taken{file="listener/front"} 0
files_not_taken{file="relay"} 1`), "\n") {
		require.Contains(t, body, "\n"+namespace+"_"+line+"\n")
	}
	require.NotContains(t, body, `starts_blocked{cause="",`)
}

// increase() would take a bill that is corrected downwards for one that has begun anew, and count all of it once more.
func TestABillThatIsCorrectedFallsInNoMetric(t *testing.T) {
	bills := operator.Function{Name: "web", Own: operator.Bill{Dollars: 3, Plain: operator.PlainBill{Dollars: 2}}}
	var list []operator.Function
	registry := prometheus.NewRegistry()
	registry.MustRegister(newFunctionCollector(func() []operator.Function { return list }))
	at := func(functions ...operator.Function) string {
		list = functions
		w := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		return w.Body.String()
	}
	at(bills)
	corrected := bills
	corrected.Own = operator.Bill{Dollars: 2.75, Plain: operator.PlainBill{Dollars: 1.5}}
	text := at(corrected)
	require.Contains(t, text, `lambda_dispatch_cost_dollars{function="web"} 3`)
	require.Contains(t, text, `lambda_dispatch_plain_cost_dollars{function="web"} 2`)
	corrected.Own.Dollars = 3.25
	require.Contains(t, at(corrected), `lambda_dispatch_cost_dollars{function="web"} 3.25`)

	require.NotContains(t, at(), "cost_dollars{")
	require.Contains(t, at(operator.Function{Name: "web"}), `lambda_dispatch_cost_dollars{function="web"} 0`, "another one of its name begins anew")
}

func TestMetricsAreServed(t *testing.T) {
	answer, body := open(t, nil).do(t, "GET", "/metrics", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, answer.Header.Get("Content-Type"), "text/plain; version=0.0.4")
	require.Contains(t, body, "\nlambda_dispatch_in_flight{function=\"web\"} 12\n")
	require.Contains(t, body, "\ngo_goroutines ")
	require.Contains(t, body, "\nprocess_resident_memory_bytes ")
	require.NotContains(t, body, "lambda_dispatch_relay")
}

// TestDocumentListsEveryMetric holds docs/metrics.md equal to what is exported: names, types, labels and meanings.
func TestDocumentListsEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../../docs/metrics.md")
	require.NoError(t, err)
	documented := regexp.MustCompile("(?m)^\\| `lambda_dispatch_.*$").FindAllString(string(text), -1)

	families, err := everything(t).Gather()
	require.NoError(t, err)
	var exported []string
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), namespace) {
			exported = append(exported, fmt.Sprintf("| `%s` | %s | %s | %s |", family.GetName(),
				strings.ToLower(family.GetType().String()), labelsOf(family.GetMetric()[0]), family.GetHelp()))
		}
	}
	slices.Sort(documented)
	slices.Sort(exported)
	require.Equal(t, strings.Join(exported, "\n"), strings.Join(documented, "\n"))
}

func labelsOf(m *dto.Metric) string {
	var names []string
	for _, label := range m.GetLabel() {
		names = append(names, "`"+label.GetName()+"`")
	}
	return strings.Join(names, " ")
}

// BenchmarkScrape is one scrape with a hundred functions.
func BenchmarkScrape(b *testing.B) {
	list := make([]operator.Function, 100)
	for i := range list {
		list[i] = (&fake{}).Functions()[0]
		list[i].Name = fmt.Sprintf("web-%d", i)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(newFunctionCollector(func() []operator.Function { return list }))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
