// Package tracing tells an OpenTelemetry collector what requests waited for, as spans of the traces that Envoy has begun. Types of
// OpenTelemetry stop here. Nothing waits for a collector: what it cannot take in time is dropped.
package tracing

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Limits of what is kept for a collector that is slow or away.
const (
	maxQueued     = 2048 // spans
	maxBatch      = 512
	batchEvery    = time.Second
	exportTimeout = 5 * time.Second
	lastWords     = 2 * time.Second
	complainEvery = time.Minute
)

// A Tracer makes spans between the beginning and the end of Run, and drops them else.
type Tracer struct {
	endpoint string
	service  string
	version  string
	log      logrus.FieldLogger
	tracer   atomic.Pointer[trace.Tracer]
}

// New returns a Tracer that exports to a collector at an URL, http://host:port, by OTLP over gRPC. An empty one: it makes no spans.
func New(endpoint, service, version string, log logrus.FieldLogger) *Tracer {
	return &Tracer{endpoint: endpoint, service: service, version: version, log: log.WithField("component", "tracing")}
}

// Run exports until ctx ends, and then for two seconds at most what is left.
func (t *Tracer) Run(ctx context.Context) error {
	if t.endpoint == "" {
		<-ctx.Done()
		return nil
	}
	provider, err := t.open(ctx)
	if err != nil {
		t.log.WithError(err).Error("nothing is traced")
		<-ctx.Done()
		return nil
	}
	tracer := provider.Tracer("lambda-dispatch")
	t.tracer.Store(&tracer)
	<-ctx.Done()
	t.tracer.Store(nil)
	last, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = provider.Shutdown(last) // what the collector has not taken by then is lost
	return nil
}

// open connects to nobody: the exporter does, when it has something to say.
func (t *Tracer) open(ctx context.Context) (*sdk.TracerProvider, error) {
	collector, err := url.Parse(t.endpoint)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(collector.Host), otlptracegrpc.WithInsecure(),
		otlptracegrpc.WithTimeout(exportTimeout), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	otel.SetErrorHandler(&complaints{log: t.log, seldom: rate.Sometimes{Interval: complainEvery}})
	return sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.NeverSample())), // Envoy has decided
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(maxQueued), sdk.WithMaxExportBatchSize(maxBatch),
			sdk.WithBatchTimeout(batchEvery), sdk.WithExportTimeout(exportTimeout)),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", t.service), attribute.String("service.version", t.version))),
	), nil
}

// complaints says once in a while what goes wrong with the collector.
type complaints struct {
	log    logrus.FieldLogger
	seldom rate.Sometimes
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	c.seldom.Do(func() { c.log.WithError(err).Warn("spans are lost: the collector does not take them") })
}
