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
	methodHeader    = ":method"
	pathHeader      = ":path"
	maxPath         = 128 // bytes of a path that are kept
	requestIDHeader = "x-request-id"
	traceparent     = "traceparent" // key in the stream's metadata: Envoy's span that asks
)

// Headers are the request headers that Envoy must send.
var Headers = []string{requestIDHeader, traceparent, RefusedHeader, "accept", "upgrade", methodHeader, pathHeader}

// RefusedHeader and CauseHeader are those of package wire, in the lower case that Envoy uses.
var (
	RefusedHeader = strings.ToLower(wire.RefusedHeader)
	CauseHeader   = strings.ToLower(wire.CauseHeader)
)

// requestOf is what Envoy says about a request. Only the route of refused requests sets ArrivedKey. Without it the request counts
// as new, whatever its headers say.
func requestOf(ctx context.Context, headers []*corev3.HeaderValue) admission.Request {
	r := admission.Request{Function: routeValue(ctx, FunctionKey), Stream: streams(headers), Method: valueOf(headers, methodHeader), Path: pathOf(headers)}
	began := routeValue(ctx, BeganKey)
	if arrived := routeValue(ctx, ArrivedKey); arrived != "" {
		began, r.Returned = arrived, true
		_, r.RefusedBy, _ = strings.Cut(valueOf(headers, RefusedHeader), "/")
	}
	r.ID = idOf(headers, began)
	if micros, err := strconv.ParseInt(began, 10, 64); err == nil {
		r.Began = time.UnixMicro(micros)
	}
	return r
}

// pathOf is the beginning of the path, without its query.
func pathOf(headers []*corev3.HeaderValue) string {
	for _, h := range headers {
		if h.GetKey() == pathHeader {
			path, _, _ := bytes.Cut(h.GetRawValue(), []byte("?"))
			return string(path[:min(len(path), maxPath)])
		}
	}
	return ""
}

// streams tells whether a request will probably go on for long, because its headers ask for a WebSocket or for server-sent events.
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

// idOf is the id of a request; empty without x-request-id. Clients may choose that header, and may choose the same one for two
// requests. So the time in microseconds when Envoy got the request is added.
func idOf(headers []*corev3.HeaderValue, began string) string {
	id := valueOf(headers, requestIDHeader)
	if id == "" || began == "" {
		return id
	}
	return id + " " + began
}

// routeValue returns what the route sets under a key; empty if it sets nothing.
func routeValue(ctx context.Context, key string) string {
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
