package tracing

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// Names of attributes. docs/operating.md says what they mean.
const (
	functionKey = attribute.Key("lambda_dispatch.function")
	instanceKey = attribute.Key("lambda_dispatch.instance")
	queueKey    = attribute.Key("lambda_dispatch.queue_ms")
	startKey    = attribute.Key("lambda_dispatch.start")
	causeKey    = attribute.Key("lambda_dispatch.cause")
	requestKey  = attribute.Key("http.request.header.x-request-id")
	coldKey     = attribute.Key("faas.coldstart")
)

// Admitted implements extproc.Witness: a span queue for the wait, however short, and below it a span start if it was for one.
func (t *Tracer) Admitted(traceparent string, r admission.Request, w admission.Wait) {
	tracer, parent := t.of(traceparent)
	if tracer == nil {
		return
	}
	from := w.Arrived
	if w.Queue == 0 {
		from = time.Now()
	}
	ctx, queue := tracer.Start(parent, "queue", trace.WithTimestamp(from), trace.WithAttributes(
		functionKey.String(r.Function), instanceKey.String(w.Instance), requestKey.String(clientsID(r.ID)),
		queueKey.Float64(admission.Millis(w.Queue)), startKey.String(string(w.Start)),
	))
	if w.Start != admission.NoStart {
		_, start := tracer.Start(ctx, "start", trace.WithTimestamp(w.Began), trace.WithAttributes(
			functionKey.String(r.Function), instanceKey.String(w.Instance), coldKey.Bool(w.Start == admission.Cold),
		))
		start.End(trace.WithTimestamp(w.Up))
	}
	queue.End(trace.WithTimestamp(from.Add(w.Queue)))
}

// Refused implements extproc.Witness: a span queue that failed, unless it is the client that has left.
func (t *Tracer) Refused(traceparent string, r admission.Request, e *admission.Error) {
	tracer, parent := t.of(traceparent)
	if tracer == nil {
		return
	}
	now := time.Now()
	_, queue := tracer.Start(parent, "queue", trace.WithTimestamp(now.Add(-e.Waited)), trace.WithAttributes(
		functionKey.String(r.Function), requestKey.String(clientsID(r.ID)),
		queueKey.Float64(admission.Millis(e.Waited)), causeKey.String(string(e.Cause)),
	))
	if e.Cause != admission.Canceled {
		queue.SetStatus(codes.Error, string(e.Cause))
	}
	queue.End(trace.WithTimestamp(now))
}

// of returns what makes spans of that trace, and their parent; nil if there are to be none.
func (t *Tracer) of(traceparent string) (trace.Tracer, context.Context) {
	tracer := t.tracer.Load()
	if tracer == nil || !sampled(traceparent) {
		return nil, nil
	}
	return *tracer, propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
}

// sampled tells whether a traceparent of version 00 says so. Most do not, and cost no more than this.
func sampled(traceparent string) bool {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	return len(traceparent) >= length && strings.IndexByte("13579bdfBDF", traceparent[length-1]) >= 0
}

// clientsID is the request's id as its client knows it.
func clientsID(id string) string {
	id, _, _ = strings.Cut(id, " ")
	return id
}
