package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tracing/tracingtest"
)

// An accessLog is the file that a stack's Envoy writes to.
type accessLog string

// line waits for what is logged of a request.
func (l accessLog) line(s site, id string) (line map[string]any) {
	s.t.Helper()
	s.Eventually("logged", func() error {
		text, _ := os.ReadFile(string(l))
		for one := range bytes.Lines(text) {
			line = map[string]any{}
			if json.Unmarshal(one, &line) == nil && line["request_id"] == id {
				return nil
			}
		}
		return fmt.Errorf("nothing of %s among %s", id, text)
	})
	return line
}

// recent is what the API says of a request that waited.
func (s site) recent(id string) operator.Waited {
	s.t.Helper()
	status, body := s.AdminGet("/api/v1/recent")
	require.Equal(s.t, http.StatusOK, status, body)
	var all operator.Recent
	require.NoError(s.t, json.Unmarshal([]byte(body), &all))
	for _, one := range all.Waited {
		if one.RequestID == id {
			return one
		}
	}
	require.Failf(s.t, "not among those that waited", "%s: %s", id, body)
	return operator.Waited{}
}

// One request that waits for a cold start: what it waited for is the same in the access log, the trace, Server-Timing and the API,
// and its trace goes from its client through Envoy, control plane and lambdapeer to the app without a gap.
func TestAWaitIsTheSameWhereverItIsSeen(t *testing.T) {
	const (
		id, trace, client = "slow-one", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
		xray              = "Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad;Sampled=1"
	)
	log := accessLog(filepath.Join(t.TempDir(), "access.log"))
	collector := tracingtest.Start(t)
	f := siteApp(t, "web", controlplanetest.Binary)
	f.Scaling.Min = 0
	f.ServerTiming = config.ServerTiming{Enabled: true, Header: &config.HeaderMatch{Name: "X-Timing", Value: "please"}}
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{f},
		Config: func(c *config.Config) {
			c.AccessLog.To = string(log)
			c.Tracing = config.Tracing{Endpoint: collector.URL}
		},
	}), "web", controlplanetest.HTTP1)

	r := s.request(http.MethodGet, "/inspect", nil)
	for name, value := range map[string]string{
		"X-Request-Id": id, "X-Timing": "please", "Traceparent": "00-" + trace + "-" + client + "-01",
		"X-Amzn-Trace-Id": xray + ";Lineage=a87bd80c:1|68fd508a:5",
	} {
		r.Header.Set(name, value)
	}
	answer := s.do(r)
	seen := answer.inspection(t).Header
	require.Equal(t, []string{xray}, seen["X-Amzn-Trace-Id"], "without Lineage, which would be taken for a loop")

	page := s.recent(id)
	require.Equal(t, "cold", page.Start)
	require.Positive(t, page.QueueMS)
	line := log.line(s, id)
	for name, want := range map[string]any{
		"queue_ms": page.QueueMS, "instance": page.Instance, "start": "cold", "function": "web", "trace_id": trace, "status": 200.0,
	} {
		require.Equal(t, want, line[name], name)
	}
	timing := answer.Header.Get("Server-Timing")
	require.True(t, strings.HasPrefix(timing, fmt.Sprintf("queue;dur=%v, start;desc=cold;dur=", page.QueueMS)), timing)

	spans := s.eventuallyTraced(collector, trace, 5)
	queue, start := spans["queue"], spans["start"]
	require.InDelta(t, page.QueueMS, queue.Attributes["lambda_dispatch.queue_ms"], 0)
	require.Equal(t, time.Duration(page.QueueMS*1000+.5)*time.Microsecond, queue.Took())
	require.Equal(t, page.Instance, queue.Attributes["lambda_dispatch.instance"])
	require.Equal(t, queue.ID, start.Parent)
	byID := map[string]tracingtest.Span{}
	for _, one := range spans {
		byID[one.ID] = one
	}
	wayUp := func(id string) (names []string) {
		for id != client {
			require.Contains(t, byID, id, "the way from the app to the client has a gap after %v", names)
			names, id = append(names, byID[id].Name), byID[id].Parent
		}
		return names
	}
	app := strings.Split(seen.Get("Traceparent"), "-")
	require.Equal(t, []string{trace, "01"}, []string{app[1], app[3]})
	require.Equal(t, []string{"router web egress", "web"}, wayUp(app[2]))
	require.Equal(t, []string{"start", "queue", "async envoy.service.ext_proc.v3.ExternalProcessor.Process egress", "web"}, wayUp(start.ID))
}

// eventuallyTraced waits for so many spans of a trace, by name.
func (s site) eventuallyTraced(c *tracingtest.Collector, trace string, n int) map[string]tracingtest.Span {
	s.t.Helper()
	byName := map[string]tracingtest.Span{}
	s.Eventually("traced", func() error {
		for _, one := range c.Spans(trace) {
			byName[one.Name] = one
		}
		if len(byName) < n {
			return errors.New(fmt.Sprint(byName))
		}
		return nil
	})
	return byName
}
