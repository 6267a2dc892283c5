package alerts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/require"
)

// step is how often the series below have a value.
const step = 15 * time.Second

// TestRulesFireWhenTheyShould has for each alert series on which it fires, and some that look alike and on which it must not. 40 steps
// are ten minutes, at whose end it is asked.
func TestRulesFireWhenTheyShould(t *testing.T) {
	all := rules(t)
	tested := map[string]bool{}
	for _, c := range []struct {
		alert, name string
		series      string
		fires       string // the labels of one alert; empty: none fires
	}{
		{"LambdaDispatchRefusesRequests", "one in ten is refused", `
			requests_total{function="web", outcome="dispatched", cause=""} 0+90x40
			requests_total{function="web", outcome="rejected", cause="queue_full"} 0+10x40`, `{cause="queue_full", function="web", job="cell"}`},
		{"LambdaDispatchRefusesRequests", "clients leave", `
			requests_total{function="web", outcome="dispatched", cause=""} 0+90x40
			requests_total{function="web", outcome="evicted", cause="canceled"} 0+50x40`, ""},
		{"LambdaDispatchRefusesRequests", "a few of many", `
			requests_total{function="web", outcome="dispatched", cause=""} 0+9000x40
			requests_total{function="web", outcome="rejected", cause="queue_full"} 0+10x40`, ""},
		{"LambdaDispatchRefusesRequests", "one of few", `
			requests_total{function="web", outcome="dispatched", cause=""} 0x39 3
			requests_total{function="web", outcome="rejected", cause="throttled"} 0x39 1`, ""},
		{"LambdaDispatchNoInstance", "they wait, and nothing comes up", `
			queue_depth{function="web"} 3x40
			instances{function="web", state="starting"} 1x40
			instances{function="web", state="ready"} 0x40`, `{function="web", job="cell"}`},
		{"LambdaDispatchNoInstance", "a standby knows of none", `
			queue_depth{function="web", instance="a"} 3x40
			queue_depth{function="web", instance="b"} 0x40
			instances{function="web", state="ready", instance="a"} 2x40
			instances{function="web", state="ready", instance="b"} 0x40`, ""},
		{"LambdaDispatchNoInstance", "nobody asks", `
			queue_depth{function="web"} 0x40
			instances{function="web", state="ready"} 0x40`, ""},
		{"LambdaDispatchNoInstance", "a cold start", `
			queue_depth{function="web"} 0x39 3
			instances{function="web", state="ready"} 0x40`, ""},
		{"LambdaDispatchQueueNearlyFull", "nearly", `
			queue_depth{function="web"} 90x40
			queue_limit{function="web"} 100x40`, `{function="web", job="cell"}`},
		{"LambdaDispatchQueueNearlyFull", "half", `
			queue_depth{function="web"} 50x40
			queue_limit{function="web"} 100x40`, ""},
		{"LambdaDispatchRequestsWait", "a few seconds", `
			queue_wait_seconds_bucket{function="web", le="1"} 0+90x40
			queue_wait_seconds_bucket{function="web", le="5"} 0+100x40
			queue_wait_seconds_bucket{function="web", le="+Inf"} 0+100x40`, `{function="web", job="cell"}`},
		{"LambdaDispatchRequestsWait", "not one in a hundred", `
			queue_wait_seconds_bucket{function="web", le="1"} 0+999x40
			queue_wait_seconds_bucket{function="web", le="5"} 0+1000x40
			queue_wait_seconds_bucket{function="web", le="+Inf"} 0+1000x40`, ""},
		{"LambdaDispatchStartsFail", "by changing causes", `
			starts_blocked{function="web", cause="crashed"} 1x20 _x20
			starts_blocked{function="web", cause="init_failed"} _x21 1x19`, `{function="web", job="cell"}`},
		{"LambdaDispatchStartsFail", "a guard does its work", `
			starts_blocked{function="web", cause="max"} 1x40
			starts_blocked{function="api", cause="account"} 1x40`, ""},
		{"LambdaDispatchCeilingReached", "of dollars", `
			starts_blocked{function="web", cause="dollars_total"} 1x40`, `{cause="dollars_total", function="web", job="cell"}`},
		{"LambdaDispatchCeilingReached", "of an account", `
			starts_blocked{function="web", cause="account"} 1x40`, `{cause="account", function="web", job="cell"}`},
		{"LambdaDispatchCeilingReached", "for a minute", `
			starts_blocked{function="web", cause="max"} _x36 1x4`, ""},
		{"LambdaDispatchRolloutGivenUp", "the first one ever", `
			rollouts_total{function="web", outcome="errors"} _x36 1x4`, `{function="web", job="cell", outcome="errors"}`},
		{"LambdaDispatchRolloutGivenUp", "done, or ended by somebody", `
			rollouts_total{function="web", outcome="done"} 0x20 1x20
			rollouts_total{function="web", outcome="operator"} _x20 1x20`, ""},
		{"LambdaDispatchNotScraped", "nothing there", `
			relay_attached 1x40`, `{}`},
		{"LambdaDispatchNotScraped", "one there", `
			xds_envoys_connected 0x40`, ""},
		{"LambdaDispatchNotScraped", "none any more, and its relay answers", `
			xds_envoys_connected{instance="a"} 1x10
			xds_envoys_connected{instance="b"} 1x10
			relay_attached{instance="c"} 1x40`, `{job="cell"}`},
		{"LambdaDispatchNotScraped", "none of one cell of two", `
			xds_envoys_connected{instance="a"} 1x10
			xds_envoys_connected{job="other", instance="d"} 1x40`, `{job="cell"}`},
		{"LambdaDispatchNotScraped", "the standby is gone", `
			xds_envoys_connected{instance="a"} 1x40
			xds_envoys_connected{instance="b"} 1x10`, ""},
		{"LambdaDispatchProcessGone", "the standby hangs", `
			up{instance="a"} 1x40
			up{instance="b"} 1x10 0x29
			build_info{instance="a"} 1x40`, `{instance="b", job="cell"}`},
		{"LambdaDispatchProcessGone", "it was deployed", `
			up{instance="a"} 1x40
			up{instance="b"} 1x10 0x10 1x18
			build_info{instance="a"} 1x40`, ""},
		{"LambdaDispatchProcessGone", "somebody else's", `
			up{job="other", instance="c"} 0x40
			build_info{instance="a"} 1x40`, ""},
		{"LambdaDispatchNobodyLeads", "two standbys", `
			leads{instance="a"} 0x40
			leads{instance="b"} 0x40`, `{job="cell"}`},
		{"LambdaDispatchNobodyLeads", "one leads", `
			leads{instance="a"} 0x40
			leads{instance="b"} 1x40`, ""},
		{"LambdaDispatchLeaseFails", "the leader's disk is full", `
			lease_age_seconds{instance="a"} 0.5x32 15+15x7
			lease_age_seconds{instance="b"} 0.2x40`, `{instance="a", job="cell"}`},
		{"LambdaDispatchLeaseFails", "an answer now and then", `
			lease_age_seconds{instance="a"} 40 0.5 40 0.5 40 0.5 40 0.5 40 0.5 40 0.5 40 0.5`, `{instance="a", job="cell"}`},
		{"LambdaDispatchLeaseFails", "for some seconds", `
			lease_age_seconds{instance="a"} 0.5x32 12 0.5x7`, ""},
		{"LambdaDispatchLeadersChange", "every two minutes", `
			term{instance="a"} 3x8 0x8 5x8 0x8 7x8
			term{instance="b"} 0x8 4x8 0x8 6x8 0x8`, `{job="cell"}`},
		{"LambdaDispatchLeadersChange", "one deployment", `
			term{instance="a"} 3x20 0x20
			term{instance="b"} 0x20 4x20`, ""},
		{"LambdaDispatchNoRelay", "none of two", `
			leads{instance="a"} 1x40
			relays{instance="a"} 2x30 0x10`, `{job="cell"}`},
		{"LambdaDispatchNoRelay", "a standby has none", `
			leads{instance="a"} 1x40
			leads{instance="b"} 0x40
			relays{instance="a"} 2x40
			relays{instance="b"} 0x40`, ""},
		{"LambdaDispatchRelayGone", "one of two", `
			leads{instance="a"} 1x40
			relays{instance="a"} 2x30 1x10`, `{job="cell"}`},
		{"LambdaDispatchRelayGone", "it says so itself", `
			leads{instance="a"} 1x40
			relays{instance="a"} 2x40
			relay_attached{instance="c"} 0x40`, `{job="cell"}`},
		{"LambdaDispatchRelayGone", "none", `
			leads{instance="a"} 1x40
			relays{instance="a"} 2x40
			relay_attached{instance="c"} 1x40`, ""},
		{"LambdaDispatchConfigurationNotTaken", "a bad file", `
			config_last_reload_successful{instance="a"} 1x20 0x20`, `{instance="a", job="cell"}`},
		{"LambdaDispatchConfigurationNotTaken", "mended at once", `
			config_last_reload_successful{instance="a"} 1x20 0x2 1x18`, ""},
		{"LambdaDispatchRelayCannotWrite", "a disk that is read-only", `
			relay_unkept{instance="a"} 0x20 1x20
			relay_unkept{instance="b"} 0x40`, `{instance="a", job="cell"}`},
		{"LambdaDispatchRelayCannotWrite", "for a moment", `
			relay_unkept{instance="a"} 0x37 1x2 0`, ""},
		{"LambdaDispatchRelayAtItsLimit", "connections", `
			relay_refused_total{reason="too_many_connections"} 0+10x40`, `{job="cell", reason="too_many_connections"}`},
		{"LambdaDispatchRelayAtItsLimit", "strangers knock", `
			relay_refused_total{reason="silent"} 0+100x40`, ""},
		{"LambdaDispatchNoEnvoy", "none", `
			xds_envoys_connected{instance="a"} 0x40
			xds_envoys_connected{instance="b"} 0x40`, `{job="cell"}`},
		{"LambdaDispatchNoEnvoy", "none at the standby", `
			xds_envoys_connected{instance="a"} 2x40
			xds_envoys_connected{instance="b"} 0x40`, ""},
		{"LambdaDispatchEnvoyRefuses", "a listener", `
			xds_refused{type="lds"} 1x40
			xds_refused{type="eds"} 0x40`, `{job="cell", type="lds"}`},
		{"LambdaDispatchEnvoyRefuses", "for a moment", `
			xds_refused{type="lds"} 0x38 1 1`, ""},
		{"LambdaDispatchCertificateEnds", "too short a time", `
			certificate_expiry_timestamp_seconds{certificate="cell", instance="a"} 864000x400`, `{certificate="cell", instance="a", job="cell"}`},
		{"LambdaDispatchCertificateEnds", "a month", `
			certificate_expiry_timestamp_seconds{certificate="listener/front"} 2592000x400`, ""},
		{"LambdaDispatchCertificateEndsSoon", "tomorrow", `
			certificate_expiry_timestamp_seconds{certificate="relay"} 86400x40`, `{certificate="relay", job="cell"}`},
		{"LambdaDispatchCertificateEndsSoon", "in ten days", `
			certificate_expiry_timestamp_seconds{certificate="relay"} 864000x40`, ""},
		{"LambdaDispatchFileNotTaken", "a wrong key", `
			files_not_taken{file="secret", instance="a"} 1x40
			files_not_taken{file="secret", instance="b"} 0x40`, `{file="secret", instance="a", job="cell"}`},
		{"LambdaDispatchFileNotTaken", "the configuration, which has its own alert", `
			files_not_taken{file="configuration"} 1x40`, ""},
		{"LambdaDispatchFileNotTaken", "one of two is replaced", `
			files_not_taken{file="relay"} 0x36 1x3 0`, ""},
		{"LambdaDispatchRouteKills", "one, after a takeover too", `
			killing_route_deaths{function="web", route="GET /report", instance="a"} 3x20 _x20
			killing_route_deaths{function="web", route="GET /report", instance="b"} _x20 3x20`, `{function="web", job="cell", route="GET /report"}`},
		{"LambdaDispatchRouteKills", "none known", `
			worn_environments_total{function="web", cause="memory"} 0+1x40`, ""},
		{"LambdaDispatchDearerThanLambda", "two dollars for one", `
			cost_dollars{function="web"} 0+0.01x1600
			plain_cost_dollars{function="web"} 0+0.001x1600`, `{function="web", job="cell"}`},
		{"LambdaDispatchDearerThanLambda", "it pays", `
			cost_dollars{function="web"} 0+0.01x1600
			plain_cost_dollars{function="web"} 0+0.02x1600`, ""},
	} {
		t.Run(c.alert+"/"+c.name, func(t *testing.T) {
			rule, exists := all[c.alert]
			require.True(t, exists)
			require.Equal(t, c.fires, strings.Join(firing(t, rule.Expr, time.Duration(rule.For), c.series), ";"))
		})
		tested[c.alert] = tested[c.alert] || c.fires != ""
	}
	for name := range all {
		require.True(t, tested[name], "%s is never seen to fire", name)
	}
}

// firing returns the labels of what an expression has had a value for, during all of a time that ends with the series.
func firing(t *testing.T, expression string, during time.Duration, series string) []string {
	t.Helper()
	load, steps := loading(series)
	storage := promqltest.LoadedStorage(t, load)
	engine := promqltest.NewTestEngine(t, false, 0, 100_000)
	end := time.Unix(0, 0).Add(time.Duration(steps) * step)
	query, err := engine.NewRangeQuery(t.Context(), storage, nil, expression, end.Add(-during), end, step)
	require.NoError(t, err)
	defer query.Close()
	result := query.Exec(t.Context())
	require.NoError(t, result.Err)
	matrix, err := result.Matrix()
	require.NoError(t, err)
	return whole(matrix, int(during/step)+1)
}

func whole(matrix promql.Matrix, points int) []string {
	var found []string
	for _, one := range matrix {
		if len(one.Floats) == points {
			found = append(found, one.Metric.String())
		}
	}
	return found
}

// loading makes Prometheus' own notation of series without prefix and job, and counts the steps of the longest. up is Prometheus' own.
func loading(series string) (load string, steps int) {
	load = fmt.Sprintf("load %s\n", step)
	for line := range strings.SplitSeq(strings.TrimSpace(series), "\n") {
		name, values, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if metric, labels, labelled := strings.Cut(name, "{"); labelled {
			if name = metric + `{job="cell", ` + labels + "}"; strings.Contains(labels, `job="`) {
				name = metric + "{" + labels + "}"
			}
		} else {
			name, values, _ = strings.Cut(name, " ")
			name += `{job="cell"}`
		}
		if !strings.HasPrefix(name, "up{") {
			name = "lambda_dispatch_" + name
		}
		load += "  " + name + " " + values + "\n"
		steps = max(steps, length(values))
	}
	return load, steps
}

// length is how many steps a notation spans: 1x4 has five values, and 3 one.
func length(values string) int {
	n := 0
	for part := range strings.FieldsSeq(values) {
		more := 0
		if _, times, repeated := strings.Cut(part, "x"); repeated {
			_, _ = fmt.Sscan(times, &more)
			if strings.HasPrefix(part, "_") {
				more-- // _x4 is four values
			}
		}
		n += more + 1
	}
	return n - 1
}
