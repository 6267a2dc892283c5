package events_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
)

var examples = []string{
	"http_api", "function_url", "rest_api", "rest_api_console", "load_balancer", "load_balancer_multi", "lattice_v1", "lattice_v2", "scheduled", "authorizer",
}

// Whatever comes becomes a request that a server can read back, or a typed error.
func FuzzDecode(f *testing.F) {
	for _, name := range examples {
		f.Add(read(f, name))
	}
	f.Add([]byte(`{"version":"2.0","rawPath":"//%","requestContext":{"http":{"method":"GET"}},"body":"?","isBase64Encoded":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := events.Decode(events.Invocation{Payload: data, RequestID: "r"}, events.Options{Path: events.DefaultPath})
		if err != nil {
			var failed *events.Error
			require.ErrorAs(t, err, &failed)
			require.NotEmpty(t, failed.Type)
			return
		}
		target := e.Request.URL.RequestURI()
		again, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		require.Equal(t, target, again.RequestURI())
		require.NotRegexp(t, "[ \r\n]", target)
		require.NotEmpty(t, e.Request.Host)
		require.True(t, httpguts.ValidHostHeader(e.Request.Host), e.Request.Host)
		require.True(t, httpguts.ValidHeaderFieldName(e.Request.Method), e.Request.Method)
		for name, values := range e.Request.Header {
			require.True(t, httpguts.ValidHeaderFieldName(name), name)
			for _, value := range values {
				require.True(t, httpguts.ValidHeaderFieldValue(value), value)
			}
		}
		for _, name := range []string{"Connection", "Host", "Transfer-Encoding", "Content-Length", "Upgrade"} {
			require.NotContains(t, e.Request.Header, name)
		}
	})
}

// A body arrives as the app sent it.
func FuzzAnswer(f *testing.F) {
	f.Add(byte(0), 200, "text/html", "", []byte("<p>\u2028é"))
	f.Add(byte(4), 304, "image/png", "gzip", []byte{0, 0xff})
	f.Fuzz(func(t *testing.T, which byte, status int, contentType, encoding string, body []byte) {
		e := decode(t, read(t, examples[int(which)%8]))
		got, err := e.Answer(response(status, string(body), http.Header{"Content-Type": {contentType}, "Content-Encoding": {encoding}}))
		require.NoError(t, err)
		var a struct {
			StatusCode      int
			Body            string
			IsBase64Encoded bool
		}
		require.NoError(t, json.Unmarshal(got, &a))
		require.Equal(t, status, a.StatusCode)
		if a.IsBase64Encoded {
			decoded, err := base64.StdEncoding.DecodeString(a.Body)
			require.NoError(t, err)
			a.Body = string(decoded)
		}
		require.Equal(t, string(body), a.Body)
	})
}
