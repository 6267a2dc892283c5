package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// A scrape is one answer of /metrics: values by series, as they are written.
type scrape map[string]float64

func scrapeMetrics(t *testing.T, s *controlplanetest.Stack) (scrape, string) {
	t.Helper()
	status, text := s.AdminGet("/metrics")
	require.Equal(t, http.StatusOK, status, text)
	out := scrape{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		require.Positive(t, at, line)
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		require.NoError(t, err, line)
		out[line[:at]] = value
	}
	return out, text
}

// value fails the test if there is no such series. Names lack their common prefix.
func (m scrape) value(t *testing.T, series string) float64 {
	t.Helper()
	require.Contains(t, m, "lambda_dispatch_"+series)
	return m["lambda_dispatch_"+series]
}

// Scenario 38: what is counted is what happened.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const served, refused = 7, 3
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Concurrency, f.Scaling.Max, f.Queue.Limit = 4, 1, 0
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}}), "web", controlplanetest.HTTP1)
	eventuallyWarm(s)
	for range served - 4 {
		require.Equal(t, http.StatusOK, s.get("/hello").StatusCode)
	}
	require.Equal(t, http.StatusOK, s.do(s.request(http.MethodPost, "/echo", contract.Bytes(1<<20))).StatusCode)
	s.eventuallyIdle()
	for range 3 {
		s.hold()
	}
	before, text := scrapeMetrics(t, s.Stack)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err, "not Prometheus' format")
	for _, p := range problems {
		require.NotContains(t, p.Metric, "lambda_dispatch_", p.Text)
	}
	for series, want := range map[string]float64{
		`requests_total{cause="",function="web",outcome="dispatched"}`: served,
		`queue_wait_seconds_count{function="web"}`:                     served,
		`queue_depth{function="web"}`:                                  0,
		`queue_limit{function="web"}`:                                  0,
		`in_flight{function="web"}`:                                    3,
		`capacity_slots{function="web"}`:                               4,
		`free_slots{function="web"}`:                                   1,
		`instances{function="web",state="ready"}`:                      1,
		`instances{function="web",state="starting"}`:                   0,
		`starts_total{function="web"}`:                                 1,
		`relay_control_streams`:                                        1,
		`xds_envoys_connected`:                                         1,
	} {
		require.InDelta(t, want, before.value(t, series), 0, series)
	}
	require.Greater(t, before.value(t, `relay_bytes_total{direction="to_peer"}`), float64(1<<20))
	require.Greater(t, before.value(t, `relay_bytes_total{direction="from_peer"}`), float64(1<<20))

	s.hold()
	for range refused {
		require.Equal(t, http.StatusServiceUnavailable, s.get("/hello").StatusCode)
	}
	after, _ := scrapeMetrics(t, s.Stack)
	require.InDelta(t, refused, after.value(t, `requests_total{cause="queue_full",function="web",outcome="rejected"}`), 0)
	documented(t, after)
}

// eventuallyWarm waits for the instance that stays.
func eventuallyWarm(s site) {
	s.t.Helper()
	s.Eventually("ready", func() error {
		if s.Function(s.name).Ready == 1 {
			return nil
		}
		return errors.New("no instance is")
	})
}

// documented fails the test if there is a metric of ours that docs/metrics.md does not name.
func documented(t *testing.T, m scrape) {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	name := regexp.MustCompile(`^lambda_dispatch_[a-z_]+?(_bucket|_sum|_count)?(\{|$)`)
	for series := range m {
		if !strings.HasPrefix(series, "lambda_dispatch_") {
			continue
		}
		found := name.FindStringSubmatch(series)
		require.NotNil(t, found, series)
		metric := strings.TrimSuffix(strings.TrimSuffix(found[0], "{"), found[1])
		require.Contains(t, string(page), "`"+metric+"`")
	}
}

// Scenario 38: the ids by which a client can find its request reach the app as they were sent, queued or not.
func TestTraceIDs(t *testing.T) {
	t.Parallel()
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Concurrency, f.Scaling.Max = 1, 1
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}}), "web", controlplanetest.HTTP1)
	eventuallyWarm(s)
	ids := map[string]string{
		"X-Request-Id": "a-request-of-mine",
		"Traceparent":  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Tracestate":   "vendor=value",
	}
	request := func() *http.Request {
		r := s.request(http.MethodGet, "/inspect", nil)
		for name, value := range ids {
			r.Header.Set(name, value)
		}
		return r
	}
	direct := s.do(request())
	release := s.hold()
	waiting := s.ask(request())
	s.eventuallyQueued(1)
	release()
	for _, a := range []answer{direct, waiting.wait(s)} {
		seen := a.inspection(t).Header
		for name, value := range ids {
			require.Equal(t, []string{value}, seen[name])
		}
	}
	require.NotEmpty(t, s.get("/inspect").inspection(t).Header.Get("X-Request-Id"), "made where the client sent none")
}
