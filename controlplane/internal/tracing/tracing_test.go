package tracing

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tracing/tracingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// run runs a tracer until the returned function is called, which waits for its end.
func run(t *testing.T, endpoint string) (tracer *Tracer, hook *logtest.Hook, stop func()) {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	tracer = New(endpoint, "lambda-dispatch", "v1", log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tracer.Run(ctx) }()
	require.Eventually(t, func() bool { return endpoint == "" || tracer.tracer.Load() != nil }, patience, time.Millisecond)
	return tracer, hook, func() {
		cancel()
		require.NoError(t, <-done)
	}
}

const (
	traceID  = "0af7651916cd43dd8448eb211c80319c"
	parentID = "b7ad6b7169203331"
	yes      = "00-" + traceID + "-" + parentID + "-01"
	no       = "00-" + traceID + "-" + parentID + "-00"
)

var request = admission.Request{Function: "web", ID: "mine 1795893555180978"}

func waited() admission.Wait {
	arrived := time.Now().Add(-time.Minute).Truncate(time.Microsecond)
	return admission.Wait{
		Instance: "i-1", Arrived: arrived, Queue: 812345 * time.Microsecond, Start: admission.Cold,
		Began: arrived.Add(time.Millisecond), Up: arrived.Add(811 * time.Millisecond),
	}
}

func TestAWaitIsASpanOfTheTraceThatEnvoyBegan(t *testing.T) {
	collector := tracingtest.Start(t)
	tracer, _, stop := run(t, collector.URL)
	w := waited()
	tracer.Admitted(yes, request, w)
	stop() // and says what is left

	spans := map[string]tracingtest.Span{}
	for _, s := range collector.Spans(traceID) {
		spans[s.Name] = s
	}
	require.Len(t, spans, 2)
	queue, start := spans["queue"], spans["start"]
	require.Equal(t, parentID, queue.Parent)
	require.Equal(t, "lambda-dispatch", queue.Service)
	require.True(t, queue.Began.Equal(w.Arrived))
	require.Equal(t, w.Queue, queue.Took())
	require.Equal(t, map[string]any{
		"lambda_dispatch.function": "web", "lambda_dispatch.instance": "i-1", "lambda_dispatch.queue_ms": 812.345,
		"lambda_dispatch.start": "cold", "http.request.header.x-request-id": "mine",
	}, queue.Attributes)
	require.Equal(t, queue.ID, start.Parent)
	require.Equal(t, 810*time.Millisecond, start.Took())
	require.Equal(t, true, start.Attributes["faas.coldstart"])
}

func TestARefusalIsASpanThatFailed(t *testing.T) {
	collector := tracingtest.Start(t)
	tracer, _, stop := run(t, collector.URL)
	refused := admission.Evict(admission.QueueTimeout)
	refused.Waited = 30 * time.Second
	tracer.Refused(yes, request, refused)
	stop()
	spans := collector.Spans(traceID)
	require.Len(t, spans, 1)
	require.True(t, spans[0].Failed)
	require.Equal(t, 30*time.Second, spans[0].Took())
	require.Equal(t, "queue_timeout", spans[0].Attributes["lambda_dispatch.cause"])
}

func TestAClientThatLeavesTheQueueIsNoFailure(t *testing.T) {
	collector := tracingtest.Start(t)
	tracer, _, stop := run(t, collector.URL)
	left := admission.Evict(admission.Canceled)
	left.Waited = 3 * time.Second
	tracer.Refused(yes, request, left)
	stop()
	spans := collector.Spans(traceID)
	require.Len(t, spans, 1)
	require.False(t, spans[0].Failed)
	require.Equal(t, 3*time.Second, spans[0].Took())
	require.Equal(t, "canceled", spans[0].Attributes["lambda_dispatch.cause"])
}

func TestNothingIsTracedThatEnvoyDoesNotTrace(t *testing.T) {
	collector := tracingtest.Start(t)
	tracer, _, stop := run(t, collector.URL)
	for _, word := range []string{no, "", "01", yes[:54], "00-" + traceID + "-0000000000000000-01", "zz-" + traceID + "-" + parentID + "-01"} {
		tracer.Admitted(word, request, waited())
		tracer.Refused(word, request, admission.Reject(admission.QueueFull))
	}
	stop()
	require.Empty(t, collector.Spans(""))

	off, _, stop := run(t, "")
	off.Admitted(yes, request, waited())
	stop()
	off.Admitted(yes, request, waited()) // after its end
}

// A collector that hangs, and one that is not there, cost spans and nothing else.
func TestNothingWaitsForACollector(t *testing.T) {
	hangs := tracingtest.Start(t)
	unblock := hangs.Block()
	defer unblock()
	for name, endpoint := range map[string]string{"hangs": hangs.URL, "away": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			tracer, hook, stop := run(t, endpoint)
			began := time.Now()
			for n := range 3 * maxQueued {
				tracer.Admitted(yes, admission.Request{Function: "web", ID: fmt.Sprint(n)}, admission.Wait{Start: admission.NoStart})
			}
			// What does not fit into the queue would take eight exports, each as long as exportTimeout.
			require.Less(t, time.Since(began), patience, "nobody waits for an export")
			if name == "away" {
				require.Eventually(t, func() bool { return len(hook.AllEntries()) > 0 }, patience, time.Millisecond)
			}
			stop()
			require.LessOrEqual(t, len(hook.AllEntries()), 1, "said once a minute at most")
		})
	}
}

// BenchmarkUntraced is what a request costs that nobody traces.
func BenchmarkUntraced(b *testing.B) {
	tracer := New("", "lambda-dispatch", "", logrus.New())
	for b.Loop() {
		tracer.Admitted(no, request, admission.Wait{})
	}
}
