// Package tracingtest is an OpenTelemetry collector for tests: it takes spans by OTLP over gRPC and keeps them.
package tracingtest

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// A Span is what a test looks at.
type Span struct {
	Service, Name     string
	Trace, ID, Parent string // hexadecimal; Parent is empty for a root
	Began, Ended      time.Time
	Failed            bool
	Attributes        map[string]any // strings, numbers (float64) and booleans
}

// Took is how long the span lasted.
func (s Span) Took() time.Duration { return s.Ended.Sub(s.Began) }

// A Collector keeps all that it is sent.
type Collector struct {
	collectorv1.UnimplementedTraceServiceServer
	URL string // http://host:port

	mu    sync.Mutex
	spans []Span
	block chan struct{} // closed when it may answer
}

// Start runs a collector until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{URL: "http://" + listener.Addr().String()}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return c
}

// Block makes it answer nobody from now on, until the returned function is called.
func (c *Collector) Block() (unblock func()) {
	block := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.block = block
	return sync.OnceFunc(func() { close(block) })
}

// Export implements OTLP.
func (c *Collector) Export(ctx context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	block := c.block
	c.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.GetResourceSpans() {
		service, _ := attributes(of.GetResource().GetAttributes())["service.name"].(string)
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, span(service, s))
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// Spans are those of one trace, or all if it is empty.
func (c *Collector) Spans(trace string) (found []Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if trace == "" || s.Trace == trace {
			found = append(found, s)
		}
	}
	return found
}

func span(service string, s *tracev1.Span) Span {
	return Span{
		Service: service, Name: s.GetName(),
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Began: time.Unix(0, int64(s.GetStartTimeUnixNano())), Ended: time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Failed:     s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR,
		Attributes: attributes(s.GetAttributes()),
	}
}

func attributes(list []*commonv1.KeyValue) map[string]any {
	out := map[string]any{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *commonv1.AnyValue_DoubleValue:
			out[a.GetKey()] = v.DoubleValue
		case *commonv1.AnyValue_IntValue:
			out[a.GetKey()] = float64(v.IntValue)
		case *commonv1.AnyValue_BoolValue:
			out[a.GetKey()] = v.BoolValue
		}
	}
	return out
}
