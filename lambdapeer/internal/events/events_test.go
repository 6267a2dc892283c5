package events_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	require.NoError(t, err)
	return data
}

func decode(t testing.TB, payload []byte) *events.Event {
	t.Helper()
	e, err := events.Decode(events.Invocation{Payload: payload, RequestID: "lambda-1"}, events.Options{Path: "/jobs/in?from=lambda"})
	require.NoError(t, err)
	return e
}

// request is what an app can tell of one.
type request struct {
	kind, line, host, client, body string
	header                         http.Header
}

func TestEventsBecomeRequests(t *testing.T) {
	tests := map[string]request{
		"http_api": {
			"api_gateway_v2", "POST /orders/caf%C3%A9%2Fbar?tag=a&tag=b&q=x%20y+z&flag", "shop.example.com", "198.51.100.7:0",
			`{"amount":12}`,
			http.Header{
				"Accept": {"text/html,application/json"}, "Content-Type": {"application/json"}, "Cookie": {"session=abc; theme=dark"},
				"User-Agent": {""}, "X-Amzn-Trace-Id": {"Root=1-65a1f0c2-0123456789abcdef01234567"}, "X-Forwarded-For": {"198.51.100.7"},
				"X-Forwarded-Port": {"443"}, "X-Forwarded-Proto": {"https"}, "X-Request-Id": {"lambda-1"},
			},
		},
		"function_url": {
			"api_gateway_v2", "PUT /upload", "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws", "[2001:db8::17]:0",
			"\x00\xff\x10\xff",
			http.Header{
				"Content-Type": {"application/octet-stream"}, "User-Agent": {"python-httpx/0.28"}, "X-Forwarded-For": {"2001:db8::17"},
				"X-Forwarded-Port": {"443"}, "X-Forwarded-Proto": {"https"}, "X-Request-Id": {"lambda-1"},
			},
		},
		"rest_api": {
			"api_gateway_v1", "GET /search/new%20york?city=a&city=b&q=a%26b%3Dc", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
			"203.0.113.9:0", "",
			http.Header{
				"Accept": {"a", "b"}, "Cookie": {"a=1", "b=2"}, "User-Agent": {""}, "X-Forwarded-For": {"203.0.113.9, 130.176.0.1"},
				"X-Forwarded-Proto": {"https"}, "X-Request-Id": {"chosen-by-the-client"},
			},
		},
		"rest_api_console": {
			"api_gateway_v1", "HEAD /health", "testPrefix.testDomainName", "127.0.0.1:0", "",
			http.Header{
				"User-Agent": {""}, "X-Forwarded-For": {"test-invoke-source-ip"}, "X-Forwarded-Proto": {"https"}, "X-Request-Id": {"lambda-1"},
			},
		},
		"load_balancer": {
			"load_balancer", "DELETE /items/a%20b?force=&since=2026-01-13T10%3A11%3A12Z", "web.example.com", "203.0.113.77:0", "",
			http.Header{
				"Accept": {"*/*"}, "Cookie": {"a=1; b=2"}, "User-Agent": {"curl/8.7"},
				"X-Amzn-Trace-Id": {"Root=1-65a1f0c2-0123456789abcdef01234567"}, "X-Forwarded-For": {"10.0.0.1, 203.0.113.77"},
				"X-Forwarded-Port": {"80"}, "X-Forwarded-Proto": {"http"}, "X-Request-Id": {"lambda-1"},
			},
		},
		"lattice_v1": {
			"lattice_v1", "POST /orders/new%20york?tag=a&tag=b", "orders-0123456789abcdef0.7d67968.vpc-lattice-svcs.eu-west-1.on.aws",
			"10.213.229.10:0", `{"amount":12}`,
			http.Header{
				"Accept": {"*/*"}, "User-Agent": {"curl/8.7"}, "X-Forwarded-For": {"10.213.229.10"}, "X-Request-Id": {"lambda-1"},
			},
		},
		"lattice_v2": {
			"lattice_v2", "GET /orders?page=2&tag=a%26b&tag=c", "orders-0123456789abcdef0.7d67968.vpc-lattice-svcs.eu-west-1.on.aws",
			"10.213.229.10:0", "",
			http.Header{
				"Accept": {"a", "b"}, "User-Agent": {"curl/8.7"}, "X-Forwarded-For": {"10.213.229.10"}, "X-Request-Id": {"lambda-1"},
			},
		},
		"load_balancer_multi": {
			"load_balancer", "GET /?id=1&id=2%2C3", "web.example.com", "203.0.113.77:0", "",
			http.Header{
				"Accept": {"a", "b"}, "User-Agent": {"curl/8.7"}, "X-Forwarded-For": {"203.0.113.77"}, "X-Forwarded-Port": {"443"},
				"X-Forwarded-Proto": {"https"}, "X-Request-Id": {"lambda-1"},
			},
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, want, seen(t, decode(t, read(t, name)))) })
	}
}

func seen(t *testing.T, e *events.Event) request {
	t.Helper()
	r := e.Request
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.EqualValues(t, len(body), r.ContentLength)
	return request{e.Kind, r.Method + " " + r.URL.RequestURI(), r.Host, r.RemoteAddr, string(body), r.Header}
}

func TestAnyOtherEventIsPosted(t *testing.T) {
	payloads := []string{
		string(read(t, "scheduled")), string(read(t, "authorizer")),
		`{"key1":"value1"}`, `{}`, `null`, `[1]`, `"x"`, ``, `{"version":2}`, `{"httpMethod":"GET"}`,
		`{"httpMethod":"GET","path":"/","headers":{}}`, `{"method":"GET","path":"/"}`, `{"HTTPMethod":"GET","Path":"/","RequestContext":{}}`,
		`{"requestContext":{"routeKey":"$connect","eventType":"CONNECT"},"headers":{},"isBase64Encoded":false}`, // a WebSocket API's
	}
	for _, payload := range payloads {
		require.Equal(t, request{
			"other", "POST /jobs/in?from=lambda", "localhost", "127.0.0.1:0", payload,
			http.Header{"Content-Type": {"application/json"}, "User-Agent": {""}, "X-Request-Id": {"lambda-1"}},
		}, seen(t, decode(t, []byte(payload))))
	}
}

func TestTheInvocationsTraceGoesFirst(t *testing.T) {
	inv := events.Invocation{Payload: read(t, "http_api"), TraceID: "Root=1-a;Parent=b;Sampled=1"}
	e, err := events.Decode(inv, events.Options{Path: events.DefaultPath})
	require.NoError(t, err)
	require.Equal(t, "Root=1-a;Parent=b;Sampled=1", e.Request.Header.Get("X-Amzn-Trace-Id"))
	require.NotContains(t, e.Request.Header, "X-Request-Id")
}

// A gateway may decode the path that it calls raw, and a client may send what no URL should hold.
func TestPathsAreEscapedOnce(t *testing.T) {
	for path, want := range map[string]string{
		"": "/", "/a%2Fb": "/a%2Fb", "/ü ?#": "/%C3%BC%20%3F%23", "/100%": "/100%25", "/%zz%41": "/%25zz%41", "//x": "//x",
		"/a\r\nb": "/a%0D%0Ab", `/"<>^|`: "/%22%3C%3E%5E%7C", "/[a]@:;=,+&$!'()*~": "/[a]@:;=,+&$!'()*~",
	} {
		payload, err := json.Marshal(map[string]any{
			"version": "2.0", "rawPath": path, "rawQueryString": "a=b c&d=#é", "requestContext": map[string]any{"http": map[string]string{"method": "GET"}},
		})
		require.NoError(t, err)
		require.Equal(t, want+"?a=b%20c&d=%23%C3%A9", decode(t, payload).Request.URL.RequestURI())
	}
}

func TestABodyThatIsNoBase64IsAnError(t *testing.T) {
	payload := strings.Replace(string(read(t, "function_url")), "AP8Q/w==", "no base64", 1)
	_, err := events.Decode(events.Invocation{Payload: []byte(payload)}, events.Options{Path: events.DefaultPath})
	var failed *events.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "LambdaDispatch.InvalidEvent", failed.Type)
	require.ErrorContains(t, err, "event: body: illegal base64")
}

// response is an app's.
func response(status int, body string, header http.Header) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: &http.Request{Method: "GET"}}
}

func TestAnswersHaveTheShapeOfTheirEvent(t *testing.T) {
	for name, want := range map[string]string{
		"http_api": `{"statusCode":201,"headers":{"Content-Type":"text/html; charset=utf-8","Vary":"a,b"},
			"cookies":["a=1; Path=/","b=2"],"body":"<p>é</p>","isBase64Encoded":false}`,
		"rest_api": `{"statusCode":201,"headers":{},"multiValueHeaders":{"Content-Type":["text/html; charset=utf-8"],"Vary":["a","b"],
			"Set-Cookie":["a=1; Path=/","b=2"]},"body":"<p>é</p>","isBase64Encoded":false}`,
		"load_balancer": `{"statusCode":201,"statusDescription":"201 Created","headers":{"Content-Type":"text/html; charset=utf-8",
			"Vary":"a, b","Set-Cookie":"b=2"},"body":"<p>é</p>","isBase64Encoded":false}`,
		"lattice_v1": `{"statusCode":201,"statusDescription":"201 Created","headers":{"Content-Type":"text/html; charset=utf-8",
			"Vary":"a, b","Set-Cookie":"b=2"},"body":"<p>é</p>","isBase64Encoded":false}`,
		"lattice_v2": `{"statusCode":201,"statusDescription":"201 Created","headers":{"Content-Type":"text/html; charset=utf-8",
			"Vary":"a, b","Set-Cookie":"b=2"},"body":"<p>é</p>","isBase64Encoded":false}`,
		"load_balancer_multi": `{"statusCode":201,"statusDescription":"201 Created","headers":{},"multiValueHeaders":{
			"Content-Type":["text/html; charset=utf-8"],"Vary":["a","b"],"Set-Cookie":["a=1; Path=/","b=2"]},
			"body":"<p>é</p>","isBase64Encoded":false}`,
	} {
		got, err := decode(t, read(t, name)).Answer(response(201, "<p>é</p>", http.Header{
			"Content-Type": {"text/html; charset=utf-8"}, "Vary": {"a", "b"}, "Set-Cookie": {"a=1; Path=/", "b=2"},
			"Content-Length": {"9"}, "Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"timeout=5"},
		}))
		require.NoError(t, err)
		require.JSONEq(t, want, string(got), name)
		require.Contains(t, string(got), "<p>é</p>", "not inflated by escapes")
	}
}

func TestBodiesAreBase64UnlessTheyAreText(t *testing.T) {
	for _, tt := range []struct {
		contentType, encoding, body string
		base64                      bool
	}{
		{"text/plain", "", "x", false},
		{"TEXT/HTML; charset=utf-8", "identity", "é", false},
		{"application/json", "", "{}", false},
		{"application/problem+json", "", "{}", false},
		{"image/svg+xml", "", "<svg/>", false},
		{"application/x-www-form-urlencoded", "", "a=b", false},
		{"", "", "x", false},
		{"", "", "\xff", true},
		{"text/plain; charset=iso-8859-1", "", "\xe9", true},
		{"text/html", "gzip", "looks like text", true},
		{"text/html", "br", "looks like text", true},
		{"image/png", "", "looks like text", true},
		{"application/grpc-web+proto", "", "x", true},
		{"image/png", "", "", false},
		{"not a media type;;;", "", "\x00", false},
	} {
		header := http.Header{}
		for name, value := range map[string]string{"Content-Type": tt.contentType, "Content-Encoding": tt.encoding} {
			if value != "" {
				header.Set(name, value)
			}
		}
		got, err := decode(t, read(t, "http_api")).Answer(response(200, tt.body, header))
		require.NoError(t, err)
		var a struct {
			Body            string
			IsBase64Encoded bool
		}
		require.NoError(t, json.Unmarshal(got, &a))
		require.Equal(t, tt.base64, a.IsBase64Encoded, "%+v", tt)
		body := []byte(a.Body)
		if tt.base64 {
			body, err = base64.StdEncoding.DecodeString(a.Body)
			require.NoError(t, err)
		}
		require.Equal(t, tt.body, string(body))
	}
}

func TestHeadKeepsTheLength(t *testing.T) {
	res := response(200, "", http.Header{"Content-Length": {"1234"}})
	res.Request.Method = http.MethodHead
	got, err := decode(t, read(t, "http_api")).Answer(res)
	require.NoError(t, err)
	require.JSONEq(t, `{"statusCode":200,"headers":{"Content-Length":"1234"},"body":"","isBase64Encoded":false}`, string(got))
}

func TestAnswersAboveTheLimitAreErrors(t *testing.T) {
	requireTooLarge := func(name, body string, header http.Header) {
		_, err := decode(t, read(t, name)).Answer(response(200, body, header))
		var failed *events.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "Function.ResponseSizeTooLarge", failed.Type)
		require.ErrorContains(t, err, "6291456 bytes")
	}
	requireTooLarge("scheduled", strings.Repeat("x", events.MaxAnswer+1), nil)
	requireTooLarge("scheduled", strings.Repeat("x", events.MaxAnswer), nil) // as a JSON string
	requireTooLarge("http_api", strings.Repeat("x", events.MaxAnswer), http.Header{})
	requireTooLarge("http_api", strings.Repeat("\xff", events.MaxAnswer*3/4), http.Header{}) // as base64
	got, err := decode(t, read(t, "http_api")).Answer(response(200, strings.Repeat("x", events.MaxAnswer-1000), http.Header{}))
	require.NoError(t, err)
	require.LessOrEqual(t, len(got), events.MaxAnswer)
	number := strings.Repeat("1", events.MaxAnswer)
	got, err = decode(t, read(t, "scheduled")).Answer(response(200, number, nil))
	require.NoError(t, err)
	require.Len(t, got, len(number))
}

func TestResultsOfOtherEvents(t *testing.T) {
	for _, tt := range []struct {
		status     int
		body, want string
	}{
		{200, `{"a": 1}`, `{"a": 1}`},
		{202, "", "null\n"},
		{204, "", "null\n"},
		{200, "done <3\n", `"done <3\n"` + "\n"},
	} {
		got, err := decode(t, read(t, "scheduled")).Answer(response(tt.status, tt.body, nil))
		require.NoError(t, err)
		require.Equal(t, tt.want, string(got))
	}
	for _, tt := range []struct {
		status     int
		body, kind string
		message    string
	}{
		{404, "404 page not found\n", "LambdaDispatch.Status404", "the app answered the event with 404 Not Found: 404 page not found"},
		{503, "", "LambdaDispatch.Status503", "the app answered the event with 503 Service Unavailable: "},
		{308, "", "LambdaDispatch.Status308", "308 Permanent Redirect"},
		{500, "\xff" + strings.Repeat("x", 5000), "LambdaDispatch.Status500", strings.Repeat("x", 1000)},
		{200, "\xff", "LambdaDispatch.InvalidAnswer", "neither JSON nor text"},
	} {
		_, err := decode(t, read(t, "scheduled")).Answer(response(tt.status, tt.body, nil))
		var failed *events.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, tt.kind, failed.Type)
		require.Contains(t, failed.Message, tt.message)
		require.Less(t, len(failed.Message), 1200)
	}
}

func TestAnAnswerThatEndsEarlyIsAnError(t *testing.T) {
	res := response(200, "", http.Header{})
	res.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), broken{}))
	_, err := decode(t, read(t, "http_api")).Answer(res)
	require.ErrorContains(t, err, "the app's answer ended early: unexpected EOF")
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
