package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is a Source with one function and two instances.
type fake struct {
	drained, retried []string
	atOnce           bool // of the last drain
	rollouts         []operator.RolloutPlan
	aborted          int
}

func (*fake) Functions() []operator.Function {
	return []operator.Function{
		{
			Name: "web", Provider: "lambda",
			QueueDepth: 1, QueueLimit: 1000, InFlight: 12, Capacity: 20, Free: 6, Foreign: 2, Concurrency: 10, Learned: true,
			Starting: 3, Ready: 2, Draining: 1, Frozen: 4, Blocked: "throttled_rate", BlockedDetail: "starts fail",
			Warnings: []operator.Warning{{Word: operator.PeerLacks, Detail: "older"}},
			Versions: map[string]int{"7": 2}, Rollouts: map[string]uint64{"done": 1},
			Rollout:  &operator.Rollout{From: "7", To: "8", Phase: "watching", Share: 0.5, BeganAt: time.Unix(1.8e9, 0).UTC(), Want: 4, Fresh: 2, Old: 2},
			Returned: 5, Starts: 9, StartFailures: map[string]uint64{"throttled_rate": 3}, Worn: map[string]uint64{"memory": 2},
			Killers: []operator.Killer{{Route: "GET /pdf/{id}", Deaths: 5, Of: 6, Others: 31, Share: 0.01, LastAt: time.Unix(1.8e9, 0).UTC()}}, Ends: map[string]uint64{"scale_in": 4},
			Requests:  []operator.RequestCount{{Outcome: "rejected", Cause: "queue_full", Count: 2}, {Outcome: "dispatched", Count: 7}},
			QueueWait: operator.Histogram{Bounds: []float64{0, .1}, Counts: []uint64{4, 2, 1}, Sum: 1.5},
			Bill:      whole, Own: own,
		},
		{Name: "api"},
	}
}

func (*fake) Instances() []operator.Instance {
	started := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return []operator.Instance{
		{ID: "b2", Function: "web", State: "draining", Endpoint: "web/0002", DrainReason: "operator"},
		{
			ID: "a1", Function: "web", State: "ready", Endpoint: "web/0001", InFlight: 3, Foreign: 2, Slots: 10,
			StartedAt: started, AgeSeconds: 1.5, Environment: "env-1",
			Build: "v1.2.3", Features: []string{"x"}, Lacks: []string{"y"}, FunctionVersion: "7", RequestID: "r-1",
		},
	}
}

func (*fake) Recent() operator.Recent {
	return operator.Recent{Failures: []operator.Failure{{
		At: time.Unix(1.8e9, 0).UTC(), Function: "web", What: operator.StartFailed, Cause: "crashed", Detail: "<b>", Count: 3, Instance: "a1",
	}}}
}

func (f *fake) DrainFunction(name string, atOnce bool) error {
	if name != "web" {
		return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	}
	f.drained, f.atOnce = append(f.drained, name), atOnce
	return nil
}

func (f *fake) StartRollout(name string, plan operator.RolloutPlan) error {
	switch name {
	case "web":
		f.rollouts = append(f.rollouts, plan)
		return nil
	case "api":
		return fmt.Errorf("function %q: %w: its peers register by themselves", name, operator.ErrNotPossible)
	}
	return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
}

func (f *fake) AbortRollout(name string) error {
	if name != "web" {
		return fmt.Errorf("function %q: %w: no rollout is under way", name, operator.ErrNotPossible)
	}
	f.aborted++
	return nil
}

func (f *fake) RetryFunction(name string) error {
	if name != "web" {
		return fmt.Errorf("function %q: %w", name, operator.ErrNotFound)
	}
	f.retried = append(f.retried, name)
	return nil
}

func (f *fake) DrainInstance(id string) error {
	switch id {
	case "a1":
		f.drained = append(f.drained, id)
		return nil
	case "broken":
		return errors.New("relay is gone")
	}
	return fmt.Errorf("instance %q: %w", id, operator.ErrNotFound)
}

// Bills of a function: the whole, which leaders before this one have begun, and what this one has added.
var (
	whole = operator.Bill{
		MemoryMB: 512, Invocations: 4, Estimated: 1, BilledSeconds: 60, BilledGBSeconds: 30,
		Running: 6, GBSeconds: 33, Dollars: 0.5, DollarsPerHour: 0.25,
		Plain: operator.PlainBill{Requests: 7, ColdStarts: 2, BilledSeconds: 40, GBSeconds: 20, Dollars: 0.375}, SavedDollars: -0.125,
	}
	own = operator.Bill{
		MemoryMB: 512, Invocations: 3, Estimated: 1, BilledSeconds: 20, BilledGBSeconds: 10,
		Running: 6, GBSeconds: 13, Dollars: 0.25, DollarsPerHour: 0.25,
		Plain: operator.PlainBill{Requests: 5, ColdStarts: 1, BilledSeconds: 30, GBSeconds: 15, Dollars: 0.125}, SavedDollars: -0.125,
	}
)

// A door is a server under test.
type door struct {
	*Server
	source *fake
}

func open(t *testing.T, change func(*Options)) door {
	log, _ := logtest.NewNullLogger()
	source := &fake{}
	o := Options{Address: "127.0.0.1:0", Source: source, Version: "1.2.3", Log: log}
	if change != nil {
		change(&o)
	}
	server, err := New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		http.DefaultClient.CloseIdleConnections()
	})
	return door{server, source}
}

// do sends a request and returns the answer with its body read. Headers are name, value pairs; Host is one of them.
func (d door) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+d.Address()+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, string(text)
}

// requireProblem checks a refusal.
func requireProblem(t *testing.T, answer *http.Response, body string, code int, detail string) {
	t.Helper()
	require.Equal(t, code, answer.StatusCode, body)
	require.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
	var p problem
	require.NoError(t, json.Unmarshal([]byte(body), &p))
	require.Equal(t, problem{"about:blank", http.StatusText(code), code, detail}, p)
}

func TestHealthAndReadiness(t *testing.T) {
	since := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ready := Readiness{Reason: "no Envoy has accepted the first state"}
	d := open(t, func(o *Options) { o.Ready, o.Files = func() Readiness { return ready }, filesStatus })

	answer, body := d.do(t, "GET", "/healthz", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.JSONEq(t, `{"status":"alive"}`, body)

	answer, body = d.do(t, "GET", "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
	require.JSONEq(t, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"no Envoy has accepted the first state",
		"envoys":0,"refused":[],"files_not_taken":{"relay":"the key does not fit"}}`, body)

	ready = Readiness{Envoys: 2, Refused: []Refused{{"test/e1", "lds", "front", "in use", since, 3}}}
	answer, body = d.do(t, "GET", "/readyz", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.JSONEq(t, `{"status":"ready","envoys":2,"files_not_taken":{"relay":"the key does not fit"},"refused":[
		{"envoy":"test/e1","service":"lds","resource":"front","detail":"in use","since":"2026-11-28T12:00:00Z","offers":3}]}`, body)
	require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))
}

func TestFunctionsAreSortedAndComplete(t *testing.T) {
	d := open(t, nil)
	answer, body := d.do(t, "GET", "/api/v1/functions", "")
	require.Equal(t, "application/json", answer.Header.Get("Content-Type"))
	empty := `{"name":"api","provider":"","disabled":false,"leaving":false,"queue_depth":0,"queue_limit":0,"in_flight":0,"capacity":0,
		"free":0,"foreign":0,"concurrency":0,"concurrency_learned":false,"starting":0,"ready":0,"draining":0,"down":0,"frozen":0,"blocked":"","blocked_detail":"","warnings":null,"versions":{},"rollout":null,"rollouts":{},"returned":0,"starts":0,"inherited":0,"start_failures":{},"ends":{},"worn":null,"killers":null,"requests":[],
		"queue_wait":{"bounds_seconds":[],"counts":[],"sum_seconds":0},"bill":{"memory_mb":0,"billed_invocations":0,
		"estimated_invocations":0,"billed_seconds":0,"billed_gb_seconds":0,"running_invocations":0,"gb_seconds":0,"dollars":0,
		"dollars_per_hour":0,"plain":{"requests":0,"cold_starts":0,"billed_seconds":0,"gb_seconds":0,"dollars":0},
		"saved_dollars":0}}`
	full := `{"name":"web","provider":"lambda","disabled":false,"leaving":false,"queue_depth":1,"queue_limit":1000,"in_flight":12,
		"capacity":20,"free":6,"foreign":2,"concurrency":10,"concurrency_learned":true,"starting":3,"ready":2,"draining":1,"down":0,"frozen":4,"blocked":"throttled_rate",
		"blocked_detail":"starts fail","warnings":[{"word":"peer_lacks","detail":"older"}],"versions":{"7":2},"rollouts":{"done":1},
		"rollout":{"from":"7","to":"8","phase":"watching","cause":"","detail":"","back":false,"share":0.5,"began_at":"2027-01-15T08:00:00Z","ended_at":null,
		"instances":4,"fresh":2,"starting":0,"old":2,"old_served":{"answers":0,"errors":0,"p99_seconds":0},"fresh_served":{"answers":0,"errors":0,"p99_seconds":0}},
		"returned":5,"starts":9,"inherited":0,"start_failures":{"throttled_rate":3},"ends":{"scale_in":4},"worn":{"memory":2},
		"killers":[{"route":"GET /pdf/{id}","deaths":5,"of":6,"others":31,"share":0.01,"last_at":"2027-01-15T08:00:00Z"}],
		"requests":[{"outcome":"dispatched","cause":"","count":7},{"outcome":"rejected","cause":"queue_full","count":2}],
		"queue_wait":{"bounds_seconds":[0,0.1],"counts":[4,2,1],"sum_seconds":1.5},
		"bill":{"memory_mb":512,"billed_invocations":4,"estimated_invocations":1,"billed_seconds":60,"billed_gb_seconds":30,
		"running_invocations":6,"gb_seconds":33,"dollars":0.5,"dollars_per_hour":0.25,
		"plain":{"requests":7,"cold_starts":2,"billed_seconds":40,"gb_seconds":20,"dollars":0.375},"saved_dollars":-0.125}}`
	require.JSONEq(t, `{"functions":[`+empty+`,`+full+`]}`, body)
	require.Contains(t, body, "\n      \"blocked\": \"throttled_rate\",\n", "for people too")

	for name, want := range map[string]string{"api": empty, "web": full} {
		answer, body := d.do(t, "GET", "/api/v1/functions/"+name, "")
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.JSONEq(t, want, body)
	}
	answer, body = d.do(t, "GET", "/api/v1/functions/none", "")
	requireProblem(t, answer, body, http.StatusNotFound, `function "none": not found`)
}

func TestInstancesAreSortedAndComplete(t *testing.T) {
	_, body := open(t, nil).do(t, "GET", "/api/v1/instances", "")
	require.JSONEq(t, `{"instances":[
		{"id":"a1","function":"web","state":"ready","endpoint":"web/0001","in_flight":3,"reported_in_flight":0,"foreign":2,"slots":10,
		 "started_at":"2026-11-23T12:00:00Z","age_seconds":1.5,"environment":"env-1","drain_reason":"","memory_bytes":0,"worn":"","waits_for":"","build":"v1.2.3","features":["x"],"lacks":["y"],"function_version":"7","request_id":"r-1","log_stream":""},
		{"id":"b2","function":"web","state":"draining","endpoint":"web/0002","in_flight":0,"reported_in_flight":0,"foreign":0,"slots":0,
		 "started_at":"0001-01-01T00:00:00Z","age_seconds":0,"environment":"","drain_reason":"operator","memory_bytes":0,"worn":"","waits_for":"","build":"","features":null,"lacks":null,"function_version":"","request_id":"","log_stream":""}]}`, body)
}

func TestRecentIsCompleteAndHasNoNull(t *testing.T) {
	_, body := open(t, nil).do(t, "GET", "/api/v1/recent", "")
	require.JSONEq(t, `{"failures":[{"at":"2027-01-15T08:00:00Z","function":"web","what":"start","cause":"crashed","detail":"<b>","count":3,
		"instance":"a1","request_id":"","queue_ms":0}],"waited":[]}`, body)
}

func TestDrain(t *testing.T) {
	d := open(t, nil)
	for _, path := range []string{"/api/v1/functions/web/drain", "/api/v1/instances/a1/drain"} {
		answer, body := d.do(t, "POST", path, "")
		require.Equal(t, http.StatusAccepted, answer.StatusCode)
		require.JSONEq(t, `{"status":"draining"}`, body)
	}
	require.Equal(t, []string{"web", "a1"}, d.source.drained)
	require.False(t, d.source.atOnce)

	answer, body := d.do(t, "POST", "/api/v1/functions/none/drain", "")
	requireProblem(t, answer, body, http.StatusNotFound, `function "none": not found`)
	answer, body = d.do(t, "POST", "/api/v1/instances/none/drain", "")
	requireProblem(t, answer, body, http.StatusNotFound, `instance "none": not found`)
	answer, body = d.do(t, "POST", "/api/v1/instances/broken/drain", "")
	requireProblem(t, answer, body, http.StatusInternalServerError, "relay is gone")
	answer, body = d.do(t, "POST", "/api/v1/instances/a1/drain", strings.Repeat("x", maxBodyBytes+1))
	requireProblem(t, answer, body, http.StatusRequestEntityTooLarge, "the request's body cannot be read, or is too large")
	require.Len(t, d.source.drained, 2)
	for query, atOnce := range map[string]bool{"?now": true, "?now=true": true, "?now=false": false, "?later": false} {
		answer, _ = d.do(t, "POST", "/api/v1/functions/web/drain"+query, "")
		require.Equal(t, http.StatusAccepted, answer.StatusCode)
		require.Equal(t, atOnce, d.source.atOnce, query)
	}
	answer, body = d.do(t, "POST", "/api/v1/functions/web/drain?now=soon", "")
	requireProblem(t, answer, body, http.StatusBadRequest, `now: must be true, false or without a value, got "soon"`)
}

func TestRollout(t *testing.T) {
	d := open(t, nil)
	const path = "/api/v1/functions/web/rollout"
	answer, body := d.do(t, "POST", path, "")
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	require.JSONEq(t, `{"status":"rolling out"}`, body)
	answer, body = d.do(t, "POST", path, `{"steps": [0.1, 0.5], "hold": "30s", "max_errors": 0, "max_slower": 2}`)
	require.Equal(t, http.StatusAccepted, answer.StatusCode, body)
	require.Equal(t, operator.RolloutPlan{}, d.source.rollouts[0])
	configured := config.DefaultFunction().Rollout
	require.Equal(t, configured, d.source.rollouts[0].Over(configured))
	require.Equal(t, config.Rollout{Watch: configured.Watch, Steps: []float64{0.1, 0.5}, Hold: 30 * time.Second, MaxSlower: 2},
		d.source.rollouts[1].Over(configured))

	for body, want := range map[string]string{
		`{"stepz": []}`:        `the request's body: json: unknown field "stepz"`,
		`{"hold": "1s"} {}`:    "the request's body: must be one JSON object, and more follows it",
		`{"hold": "-1s"}`:      "hold: must be between 0s and 1h0m0s, got -1s",
		`{"steps": ["all"]}`:   "the request's body: json: cannot unmarshal string",
		`[]`:                   "the request's body: json: cannot unmarshal array",
		`{"steps": [0.5, 2]}`:  "steps[1]: must be above the one before and at most 1, got 2",
		`{"hold": "soon"}`:     `hold: must be a duration, such as "10s", got "soon"`,
		`{"max_slower": 0.5}`:  "max_slower: must be 0, or above 1 and at most 1000, got 0.5",
		`{"max_errors": 1.01}`: "max_errors: must be 0 to 1, got 1.01",
	} {
		answer, got := d.do(t, "POST", path, body)
		require.Equal(t, http.StatusBadRequest, answer.StatusCode)
		require.Contains(t, got, strings.ReplaceAll(want, `"`, `\"`))
	}
	answer, body = d.do(t, "POST", path, `{"steps": [`+strings.Repeat("0.1,", maxBodyBytes/4)+`]}`)
	requireProblem(t, answer, body, http.StatusRequestEntityTooLarge, unreadBody)
	require.Len(t, d.source.rollouts, 2)

	answer, body = d.do(t, "DELETE", path, "")
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	require.JSONEq(t, `{"status":"aborting"}`, body)
	require.Equal(t, 1, d.source.aborted)
	answer, body = d.do(t, "POST", "/api/v1/functions/api/rollout", "")
	requireProblem(t, answer, body, http.StatusConflict, `function "api": not possible: its peers register by themselves`)
	answer, body = d.do(t, "DELETE", "/api/v1/functions/api/rollout", "")
	requireProblem(t, answer, body, http.StatusConflict, `function "api": not possible: no rollout is under way`)
	answer, body = d.do(t, "POST", "/api/v1/functions/none/rollout", "")
	requireProblem(t, answer, body, http.StatusNotFound, `function "none": not found`)
}

func TestRetry(t *testing.T) {
	d := open(t, nil)
	answer, body := d.do(t, "POST", "/api/v1/functions/web/retry", "")
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	require.JSONEq(t, `{"status":"trying"}`, body)
	require.Equal(t, []string{"web"}, d.source.retried)
	answer, body = d.do(t, "POST", "/api/v1/functions/none/retry", "")
	requireProblem(t, answer, body, http.StatusNotFound, `function "none": not found`)
}

func TestTheIndexListsWhatIsServed(t *testing.T) {
	d := open(t, nil)
	answer, body := d.do(t, "GET", "/", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	for _, line := range regexp.MustCompile(`(?m)^(GET|POST) +(/\S+)`).FindAllStringSubmatch(body, -1) {
		path := strings.NewReplacer("{name}", "web", "{id}", "a1").Replace(line[2])
		answer, _ := d.do(t, line[1], path, "")
		require.Less(t, answer.StatusCode, http.StatusBadRequest, line[0])
	}
}

func TestWrongMethodAndWrongPath(t *testing.T) {
	d := open(t, nil)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/functions", "/api/v1/functions/web", "/api/v1/instances"} {
		answer, body := d.do(t, "POST", path, "")
		requireProblem(t, answer, body, http.StatusMethodNotAllowed, "use GET, HEAD")
		require.Equal(t, "GET, HEAD", answer.Header.Get("Allow"))
		answer, _ = d.do(t, "HEAD", path, "")
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	answer, body := d.do(t, "GET", "/api/v1/functions/web/drain", "")
	requireProblem(t, answer, body, http.StatusMethodNotAllowed, "use POST")
	answer, body = d.do(t, "GET", "/api/v2", "")
	requireProblem(t, answer, body, http.StatusNotFound, "there is nothing at /api/v2; / lists what there is")
	require.Empty(t, d.source.drained)
}

// TestPagesOfOtherSitesAreRefused is what protects an operator's browser.
func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	const drain = "/api/v1/functions/web/drain"
	d := open(t, func(o *Options) { o.Address = "localhost:0" })
	for _, host := range []string{"evil.example", "evil.example:9900", "localhost.evil.example", "127.0.0.1.evil.example"} {
		answer, body := d.do(t, "GET", "/api/v1/instances", "", "Host", host)
		requireProblem(t, answer, body, http.StatusForbidden,
			"the Host header must be localhost, an IP address, the configured address or one of admin.hosts")
	}
	for _, headers := range [][]string{
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
	} {
		answer, body := d.do(t, "POST", drain, "", headers...)
		requireProblem(t, answer, body, http.StatusForbidden, "cross-origin requests may not change anything")
	}
	require.Empty(t, d.source.drained)

	for _, host := range []string{"localhost", "LOCALHOST:1", "127.0.0.1:9900", "[::1]", "[::1]:80"} {
		answer, _ := d.do(t, "POST", drain, "", "Host", host, "Origin", "http://"+host)
		require.Equal(t, http.StatusAccepted, answer.StatusCode, host)
	}
}

// On every interface, as in a container, a page's own name may lead here as well.
func TestOnlyConfiguredNamesAreAnswered(t *testing.T) {
	d := open(t, func(o *Options) {
		o.Address, o.Hosts = "0.0.0.0:0", []string{"controlplane.prod.svc", "*.ops.example"}
	})
	for host, status := range map[string]int{
		"controlplane.prod.svc:9900": http.StatusOK, "CONTROLPLANE.prod.svc": http.StatusOK, "a.ops.example": http.StatusOK,
		"a.b.OPS.example:1": http.StatusOK, "10.0.0.7:9900": http.StatusOK, "localhost": http.StatusOK,
		"page.example:9900": http.StatusForbidden, "ops.example": http.StatusForbidden, ".ops.example": http.StatusForbidden,
		"evilops.example": http.StatusForbidden, "0.0.0.0.page.example": http.StatusForbidden,
	} {
		answer, _ := d.do(t, "GET", "/healthz", "", "Host", host)
		require.Equal(t, status, answer.StatusCode, host)
		answer, _ = d.do(t, "POST", "/api/v1/functions/web/drain", "", "Host", host, "Origin", "http://"+host, "Sec-Fetch-Site", "same-origin")
		require.Equal(t, status == http.StatusOK, answer.StatusCode == http.StatusAccepted, host)
	}
	require.True(t, allowed("ops.internal:9900", []string{"OPS.internal"}))
	require.False(t, allowed("ops.internal", []string{""}))
	require.True(t, allowed("", nil), "HTTP/1.0, which no browser sends")
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	d := open(t, nil)
	o := Options{Address: d.Address(), Source: &fake{}, Log: d.log}
	_, err := New(o)
	require.ErrorContains(t, err, "admin address: listen tcp "+d.Address())

	o.Address, o.Registry = "127.0.0.1:0", prometheus.NewRegistry()
	o.Registry.MustRegister(newFunctionCollector((&fake{}).Functions))
	_, err = New(o)
	require.ErrorContains(t, err, "admin metrics: ")
}

func TestRunReportsALostListener(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	server, err := New(Options{Address: "127.0.0.1:0", Source: &fake{}, Log: log})
	require.NoError(t, err)
	require.NoError(t, server.listener.Close())
	require.ErrorContains(t, server.Run(t.Context()), "admin: ")
}

// Connections that ask nothing keep no probe out, and are not kept.
func TestTooManyConnections(t *testing.T) {
	s := open(t, nil)
	var silent []net.Conn
	for range maxConnections + 10 {
		c, err := net.Dial("tcp", s.Address())
		require.NoError(t, err)
		defer c.Close()
		silent = append(silent, c)
	}
	answer, _ := s.do(t, "GET", "/healthz", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.NoError(t, silent[0].SetReadDeadline(time.Now().Add(headerTimeout/2)))
	_, err := silent[0].Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the oldest is still open")
}
