package xds_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tracing/tracingtest"
)

// startTraced is a front whose Envoy traces this share of what comes without a traceparent.
func startTraced(t *testing.T, sampling float64) (*front, *tracingtest.Collector) {
	collector := tracingtest.Start(t)
	quiet := logrus.New()
	quiet.SetOutput(testWriter{t})
	var f *front
	server := extproc.New(desk{func() string { return f.endpoint }}, quiet)
	f = startFrontWith(t, frontOptions{processor: server, change: func(c *config.Config) {
		c.Tracing = config.Tracing{Endpoint: collector.URL, Sampling: sampling}
	}}, testFunction("cold", config.Route{Path: "/cold", StripPrefix: true}))
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	f.eventuallyKnown(t, "cold", f.endpoint)
	return f, collector
}

const (
	clientsTrace = "0af7651916cd43dd8448eb211c80319c"
	clientsSpan  = "b7ad6b7169203331"
)

// Envoy's spans of a request are the client's, and the app's are to be Envoy's. What is traced, the traceparent says.
func TestEnvoysSpansStandBetweenClientAndApp(t *testing.T) {
	f, collector := startTraced(t, 0)
	got := f.appSees(t, "/cold/x?secret=1", "traceparent", "00-"+clientsTrace+"-"+clientsSpan+"-01", "tracestate", "a=b",
		"X-Request-Id", "of-its-own-kind")
	app := strings.Split(got.Header.Get("Traceparent"), "-")
	require.Equal(t, []string{"00", clientsTrace, "01"}, []string{app[0], app[1], app[3]})
	require.Equal(t, "a=b", got.Header.Get("Tracestate"))
	for _, untraced := range []string{"00-1af7651916cd43dd8448eb211c80319c-" + clientsSpan + "-00", ""} {
		f.appSees(t, "/cold/y", "traceparent", untraced)
	}
	f.appSees(t, "/cold/z", "traceparent", "00-2af7651916cd43dd8448eb211c80319c-"+clientsSpan+"-01") // Envoy sends five spans or more at once

	byID := map[string]tracingtest.Span{}
	require.Eventually(t, func() bool {
		for _, s := range collector.Spans(clientsTrace) {
			byID[s.ID] = s
		}
		return len(byID) == 3 // the server's, that which asks the control plane, that which calls the app
	}, patience, time.Millisecond)
	call := byID[app[2]]
	server := byID[call.Parent]
	require.Equal(t, "cold", server.Name)
	require.Equal(t, clientsSpan, server.Parent)
	for _, s := range []tracingtest.Span{call, server} {
		require.Equal(t, "lambda-dispatch-envoy", s.Service)
		require.Equal(t, "i-2", s.Attributes["lambda_dispatch.instance"])
		require.Equal(t, "812.345", s.Attributes["lambda_dispatch.queue_ms"], "Envoy's tags are text")
		require.Equal(t, "cold", s.Attributes["lambda_dispatch.start"])
	}
	require.Equal(t, "http://"+f.address+"/cold/x", server.Attributes["http.url"], "as the client sent it, without the query")
	require.Empty(t, collector.Spans("1af7651916cd43dd8448eb211c80319c"))
}

// A collector that is away costs no request anything.
func TestEnvoyServesWithoutItsCollector(t *testing.T) {
	f, collector := startTraced(t, 1)
	defer collector.Block()()
	for range 20 {
		require.NotEmpty(t, f.appSees(t, "/cold/x").Header.Get("Traceparent"))
	}
}
