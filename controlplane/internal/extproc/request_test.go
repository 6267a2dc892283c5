package extproc

import (
	"context"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// What Envoy says of a request, by its route and by its headers.
func TestWhatEnvoySaysOfARequest(t *testing.T) {
	headers := []*corev3.HeaderValue{
		{Key: "x-request-id", RawValue: []byte("0001")}, {Key: "lambda-dispatch-refused", RawValue: []byte("web/i-1")},
	}
	for name, c := range map[string]struct {
		route   []string
		headers []*corev3.HeaderValue
		want    admission.Request
	}{
		"first":        {[]string{FunctionKey, "web"}, headers[:1], admission.Request{Function: "web", ID: "0001"}},
		"nothing":      {nil, nil, admission.Request{}},
		"header alone": {[]string{FunctionKey, "web"}, headers, admission.Request{Function: "web", ID: "0001"}},
		"refused": {
			[]string{FunctionKey, "web", ArrivedKey, "1795893555180978"},
			headers,
			admission.Request{Function: "web", ID: "0001 1795893555180978", Began: time.UnixMicro(1795893555180978), RefusedBy: "i-1", Returned: true},
		},
		"first, with its time": {
			[]string{FunctionKey, "web", BeganKey, "1795893555180978"},
			headers[:1],
			admission.Request{Function: "web", ID: "0001 1795893555180978", Began: time.UnixMicro(1795893555180978)},
		},
		"without a name": {
			[]string{FunctionKey, "web", BeganKey, "1795893555180978"},
			nil,
			admission.Request{Function: "web", Began: time.UnixMicro(1795893555180978)},
		},
		"no time": {
			[]string{FunctionKey, "web", ArrivedKey, "-"},
			headers,
			admission.Request{Function: "web", ID: "0001 -", RefusedBy: "i-1", Returned: true},
		},
		"no instance": {
			[]string{FunctionKey, "web", ArrivedKey, "1"},
			headers[:1],
			admission.Request{Function: "web", ID: "0001 1", Began: time.UnixMicro(1), Returned: true},
		},
		"server-sent events": {
			[]string{FunctionKey, "web"},
			[]*corev3.HeaderValue{{Key: "accept", RawValue: []byte("application/json, text/event-stream")}},
			admission.Request{Function: "web", Stream: true},
		},
		"WebSocket": {
			[]string{FunctionKey, "web"},
			[]*corev3.HeaderValue{{Key: "accept", RawValue: []byte("*/*")}, {Key: "upgrade", RawValue: []byte("WebSocket")}},
			admission.Request{Function: "web", Stream: true},
		},
		"method and path": {
			[]string{FunctionKey, "web"},
			[]*corev3.HeaderValue{{Key: ":method", RawValue: []byte("PUT")}, {Key: ":path", RawValue: []byte("/users/7?token=secret")}},
			admission.Request{Function: "web", Method: "PUT", Path: "/users/7"},
		},
		"a long path": {
			[]string{FunctionKey, "web"},
			[]*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/" + strings.Repeat("a", 1000))}},
			admission.Request{Function: "web", Path: "/" + strings.Repeat("a", maxPath-1)},
		},
		"another upgrade": {
			[]string{FunctionKey, "web"},
			[]*corev3.HeaderValue{{Key: "upgrade", RawValue: []byte("h2c")}, {Key: "accept", RawValue: []byte("text/html,*/*;q=0.8")}},
			admission.Request{Function: "web"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs(c.route...))
			require.Equal(t, c.want, requestOf(ctx, c.headers))
		})
	}
}
