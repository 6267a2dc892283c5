package extproc

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/metadata"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	requestIDHeader = "x-request-id"
	traceparent     = "traceparent" // of the stream: Envoy's span that asks
)

// Headers are those of a request that Envoy is to send.
var Headers = []string{requestIDHeader, traceparent, RefusedHeader, "accept", "upgrade"}

// RefusedHeader and CauseHeader are wire's, as Envoy writes them.
var (
	RefusedHeader = strings.ToLower(wire.RefusedHeader)
	CauseHeader   = strings.ToLower(wire.CauseHeader)
)

// requestOf is what Envoy says of a request. Without the word of its route no request has been refused before, whatever its
// headers say.
func requestOf(ctx context.Context, headers []*corev3.HeaderValue) admission.Request {
	r := admission.Request{Function: said(ctx, FunctionKey), Stream: streams(headers)}
	arrived := said(ctx, ArrivedKey)
	if arrived == "" {
		r.ID = idOf(headers, said(ctx, BeganKey))
		return r
	}
	r.ID = idOf(headers, arrived)
	_, r.RefusedBy, _ = strings.Cut(valueOf(headers, RefusedHeader), "/")
	if micros, err := strconv.ParseInt(arrived, 10, 64); err == nil {
		r.Arrived = time.UnixMicro(micros)
	}
	return r
}

// streams tells whether a request will go on for long, as far as its headers say: a WebSocket, or server-sent events.
func streams(headers []*corev3.HeaderValue) bool {
	for _, h := range headers {
		switch v := h.GetRawValue(); h.GetKey() {
		case "upgrade":
			if bytes.EqualFold(v, []byte("websocket")) {
				return true
			}
		case "accept":
			if bytes.Contains(v, []byte("text/event-stream")) {
				return true
			}
		}
	}
	return false
}

// idOf names a request. Clients may choose x-request-id, and choose one that another has; when Envoy got the request, to the
// microsecond, they do not choose. Without the first there is no name.
func idOf(headers []*corev3.HeaderValue, began string) string {
	id := valueOf(headers, requestIDHeader)
	if id == "" || began == "" {
		return id
	}
	return id + " " + began
}

// said returns what the route says under that key, or "" when it says nothing.
func said(ctx context.Context, key string) string {
	if values := metadata.ValueFromIncomingContext(ctx, key); len(values) == 1 {
		return values[0]
	}
	return ""
}

func valueOf(headers []*corev3.HeaderValue, name string) string {
	for _, h := range headers {
		if h.GetKey() == name {
			return string(h.GetRawValue())
		}
	}
	return ""
}
