package conformance_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// vendorsFolder is where make vendor-extensions builds extensions from what their vendors publish.
const vendorsFolder = "../../.tools"

func vendor(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(vendorsFolder, name))
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no ", vendorsFolder, "/", name, ": make vendor-extensions builds it, where Go's module proxy is to be had")
	}
	return path
}

// Elastic's extension listens on port 8200 for the agent in the function, and on sandbox.localdomain for the Logs API. It sends both to
// its server: what agents say, and what Lambda reports of each invocation, the last one included.
func TestLongElasticsExtension(t *testing.T) {
	r := goClient(t)
	r.layers, r.memoryMB = []string{vendor(t, "apm-aws-lambda-1.7.1")}, 512
	server := &apmServer{heard: map[string]map[string]bool{}}
	front := httptest.NewServer(server)
	t.Cleanup(front.Close)
	r.env = map[string]string{"ELASTIC_APM_LAMBDA_APM_SERVER": front.URL}
	run(t, r, 0).twiceServe(order{
		Do: "busy", Size: 2000, To: "http://localhost:8200/intake/v2/events",
		Text: `{"metadata":{"service":{"name":"web"}}}` + "\n" + `{"transaction":{"id":"0123456789abcdef","faas":{"execution":"$ID"}}}` + "\n",
	}, func(*machine, map[string]any) {})
	server.mu.Lock()
	defer server.mu.Unlock()
	require.Len(t, server.heard, 2, "of two invocations, each in an environment of its own")
	for id, kinds := range server.heard {
		require.Equal(t, map[string]bool{"transaction": true, "metricset": true}, kinds, id)
	}
}

// An apmServer takes what Elastic's agents and extensions send: lines of JSON, each with one event.
type apmServer struct {
	mu    sync.Mutex
	heard map[string]map[string]bool // the kinds of events, by invocation
}

func (s *apmServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/intake/v2/events" {
		return
	}
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		var events map[string]struct {
			FaaS struct{ Execution string }
		}
		if json.Unmarshal(lines.Bytes(), &events) != nil {
			continue
		}
		for kind, e := range events {
			if id := e.FaaS.Execution; id != "" && s.heard[id] == nil {
				s.heard[id] = map[string]bool{}
			}
			if id := e.FaaS.Execution; id != "" {
				s.heard[id][kind] = true
			}
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// Honeycomb's extension takes telemetry on sandbox:3000, and sends it on when it is told of the next invocation or of the end.
func TestLongHoneycombsExtension(t *testing.T) {
	r, sent := honeycomb(t)
	run(t, r, 0).twice(func(*machine, map[string]any) {})
	requireSentOn(t, r.output)
	require.GreaterOrEqual(t, sent(), 2)
}

// On Managed Instances it is told of the end only, and asks for the newest schema. AWS's client for Go serves several invocations at once there.
func TestLongHoneycombsExtensionOnManagedInstances(t *testing.T) {
	r, sent := honeycomb(t)
	managed := lambdalocal.DefaultManaged()
	managed.MinEnvironments, managed.MaxEnvironments, managed.MaxConcurrency = 2, 2, 4
	r.managed, r.memoryMB = &managed, 2048
	m := run(t, r, 0)
	if !m.Isolated() {
		t.Skip("this machine does not permit isolation")
	}
	waiter := lambda.NewFunctionActiveV2Waiter(m.client)
	require.NoError(t, waiter.Wait(context.Background(), &lambda.GetFunctionInput{FunctionName: aws.String("web")}, patience))
	var all sync.WaitGroup
	var most atomic.Int64 // beside each other in one environment
	for range 8 {
		all.Go(func() {
			var got struct{ Busy int64 }
			m.answer(order{Do: "busy", Size: 2000}, "", &got)
			for seen := most.Load(); got.Busy > seen && !most.CompareAndSwap(seen, got.Busy); seen = most.Load() {
			}
		})
	}
	all.Wait()
	require.Greater(t, most.Load(), int64(1))
	require.Equal(t, 8, m.Counters("web").Outcomes[lambdalocal.Succeeded])
	m.end()
	requireSentOn(t, r.output)
	require.GreaterOrEqual(t, sent(), 2)
}

// honeycomb is a function with the extension, and how many batches of events have come.
func honeycomb(t *testing.T) (r runtimeClient, sent func() int) {
	r = goClient(t)
	r.layers, r.memoryMB, r.output = []string{vendor(t, "honeycomb-lambda-extension-12.0.0")}, 512, &output{}
	var batches atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/1/batch/web" && strings.Contains(r.UserAgent(), "honeycomb-lambda-extension") {
			batches.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[" + strings.Repeat(`{"status":202},`, 99) + `{"status":202}]`))
	}))
	t.Cleanup(front.Close)
	r.env = map[string]string{
		"LIBHONEY_API_KEY": "x", "LIBHONEY_DATASET": "web", "LIBHONEY_API_HOST": front.URL, "HONEYCOMB_DEBUG": "true",
	}
	return r, func() int { return int(batches.Load()) }
}

// requireSentOn wants events of each of two environments to have been sent to Honeycomb, and its extension to have heard of the end.
func requireSentOn(t *testing.T, o *output) {
	t.Helper()
	require.Len(t, o.environments(), 2)
	for _, environment := range o.environments() {
		require.Contains(t, o.of(environment, "honeycomb"), "Successfully sent event to Honeycomb")
		require.Contains(t, o.of(environment, "flushed"), "events flushed and extension is shutting down")
	}
}
