package events_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
)

// with returns an event of testdata in which the field at a path has another value; nil takes it away.
func with(t *testing.T, name, path string, value any) []byte {
	t.Helper()
	var event map[string]any
	require.NoError(t, json.Unmarshal(read(t, name), &event))
	parts := strings.Split(path, ".")
	in := event
	for _, part := range parts[:len(parts)-1] {
		next, ok := in[part].(map[string]any)
		if !ok {
			next = map[string]any{}
			in[part] = next
		}
		in = next
	}
	if in[parts[len(parts)-1]] = value; value == nil {
		delete(in, parts[len(parts)-1])
	}
	data, err := json.Marshal(event)
	require.NoError(t, err)
	return data
}

func requireInvalid(t *testing.T, payload []byte, says string) {
	t.Helper()
	_, err := events.Decode(events.Invocation{Payload: payload}, events.Options{Path: events.DefaultPath})
	var failed *events.Error
	require.ErrorAs(t, err, &failed, string(payload))
	require.Equal(t, "LambdaDispatch.InvalidEvent", failed.Type)
	require.Contains(t, failed.Message, says)
}

// An app's catch-all route must not get a request that is broken in one field as an event.
func TestAFieldOfAWrongTypeIsNamed(t *testing.T) {
	wrong := map[string][]string{
		"http_api": {
			"version", "rawPath", "rawQueryString", "cookies", "headers", "headers.x-a", "body", "isBase64Encoded",
			"requestContext", "requestContext.http", "requestContext.domainName", "requestContext.http.method", "requestContext.http.sourceIp",
		},
		"rest_api": {
			"httpMethod", "path", "headers", "headers.x-a", "multiValueHeaders", "multiValueHeaders.x-a", "queryStringParameters",
			"queryStringParameters.a", "multiValueQueryStringParameters", "multiValueQueryStringParameters.a", "body",
			"isBase64Encoded", "requestContext", "requestContext.domainName", "requestContext.identity", "requestContext.identity.sourceIp",
		},
		"load_balancer": {
			"httpMethod", "path", "headers.x-a", "multiValueHeaders.x-a", "queryStringParameters.a", "body", "isBase64Encoded",
		},
		"lattice_v1": {"raw_path", "method", "headers", "headers.x-a", "query_string_parameters.a", "body", "is_base64_encoded"},
		"lattice_v2": {"requestContext", "path", "method", "headers", "headers.x-a", "queryStringParameters.a", "body", "isBase64Encoded"},
	}
	for name, paths := range wrong {
		for _, path := range paths {
			for _, value := range []any{57, []any{1}, "text", map[string]any{"x": 1}} {
				if fits(path, value) {
					continue
				}
				requireInvalid(t, with(t, name, path, value), path)
			}
		}
	}
	requireInvalid(t, with(t, "rest_api", "isBase64Encoded", "false"), "event: isBase64Encoded: must be true or false")
	requireInvalid(t, with(t, "http_api", "cookies", []any{"a=b", 1}), "event: cookies[1]: must be a string")
	both := strings.Replace(string(with(t, "rest_api", "body", 1)), `"httpMethod":"GET"`, `"httpMethod":1`, 1)
	requireInvalid(t, []byte(both), "event: body: must be a string; httpMethod: must be a string")
}

// fits tells of values that are of the right type for a path, or make the event one of another kind.
func fits(path string, value any) bool {
	isText := value == "text"
	_, isList := value.([]any)
	_, isObject := value.(map[string]any)
	last := path[strings.LastIndexByte(path, '.')+1:]
	switch {
	case last == "isBase64Encoded" || last == "is_base64_encoded":
		return false
	case last == "cookies", strings.HasPrefix(path, "multiValue") && strings.Contains(path, "."):
		return false
	case last == "headers" || strings.HasSuffix(last, "Headers") || strings.HasSuffix(last, "Parameters") || last == "identity":
		return isObject && last == "identity"
	case last == "requestContext", last == "http":
		return isObject
	case last == "version" || last == "path" || last == "rawPath" || last == "raw_path":
		return false // "text" is none, too
	}
	return isText && !isList
}

// null takes a field away, and not what the event is.
func TestAFieldThatIsNullIsNamedOrLeftOut(t *testing.T) {
	needed := map[string][]string{
		"http_api":      {"rawPath", "requestContext.http.method", "requestContext.http", "requestContext"},
		"rest_api":      {"httpMethod", "path"},
		"load_balancer": {"httpMethod", "path"},
		"lattice_v1":    {"raw_path", "method"},
		"lattice_v2":    {"path", "method"},
	}
	for name, paths := range needed {
		for _, path := range paths {
			payload := null(t, name, path)
			if strings.HasPrefix(path, "requestContext") {
				path = "requestContext.http.method"
			}
			requireInvalid(t, payload, path)
		}
	}
	for name, paths := range map[string][]string{
		"http_api":      {"headers", "cookies", "body", "isBase64Encoded", "rawQueryString", "headers.x-a", "requestContext.domainName", "version"},
		"rest_api":      {"headers", "multiValueHeaders", "body", "queryStringParameters", "requestContext", "requestContext.identity"},
		"load_balancer": {"headers", "body", "queryStringParameters", "requestContext.elb"},
		"lattice_v1":    {"headers", "body", "query_string_parameters", "is_base64_encoded"},
		"lattice_v2":    {"headers", "body", "queryStringParameters", "requestContext"},
	} {
		for _, path := range paths {
			require.NotEqual(t, "other", decode(t, null(t, name, path)).Kind, "%s: %s", name, path)
		}
	}
}

// null is an event of testdata in which the field at a path is null.
func null(t *testing.T, name, path string) []byte {
	t.Helper()
	const mark = "\ue000null"
	return []byte(strings.Replace(string(with(t, name, path, mark)), `"`+mark+`"`, "null", 1))
}

func TestWhatNoRequestCanHoldIsNamed(t *testing.T) {
	for _, bell := range []string{"\a", "\x00", "\r\n", "\x7f"} {
		requireInvalid(t, with(t, "http_api", "headers.x-bad", "a"+bell+"b"), "event: headers.x-bad: holds a control character")
		requireInvalid(t, with(t, "rest_api", "multiValueHeaders.X-Bad", []string{"ok", "a" + bell}), "multiValueHeaders.X-Bad: holds")
		requireInvalid(t, with(t, "lattice_v2", "headers.x-bad", []string{bell}), "headers.x-bad: holds")
		requireInvalid(t, with(t, "http_api", "cookies", []string{"a=" + bell}), "cookies: holds")
	}
	requireInvalid(t, with(t, "http_api", "headers.x bad", "a"), `headers: "x bad" is not a name of a header field`)
	requireInvalid(t, with(t, "http_api", "headers.host", "a/b"), "headers.host: is not a host")
	requireInvalid(t, with(t, "http_api", "requestContext.domainName", "a b"), "requestContext.domainName: is not a host")
	requireInvalid(t, with(t, "http_api", "requestContext.http.method", "GET /"), "requestContext.http.method: is not an HTTP method")
	requireInvalid(t, with(t, "http_api", "requestContext.http.method", nil), "requestContext.http.method: is not an HTTP method")
	requireInvalid(t, with(t, "load_balancer", "path", "*"), "path: does not begin with /")
	requireInvalid(t, with(t, "http_api", "requestContext", map[string]any{}), "requestContext.http.method: is not an HTTP method")
	requireInvalid(t, with(t, "http_api", "rawPath", nil), "rawPath: is missing")
	requireInvalid(t, with(t, "http_api", "requestContext.http.sourceIp", "1\r\nX: y"), "requestContext.http.sourceIp: holds a control character")
	requireInvalid(t, with(t, "rest_api", "requestContext.identity.sourceIp", "\x00"), "requestContext.identity.sourceIp: holds a control character")
	requireInvalid(t, with(t, "http_api", "version", "3.0"), `version: "3.0" is not 2.0`)
	many := map[string]any{}
	for n := range 1000 {
		many["x-"+strings.Repeat("y", n)] = 1
	}
	_, err := events.Decode(events.Invocation{Payload: with(t, "http_api", "headers", many)}, events.Options{Path: events.DefaultPath})
	require.Less(t, len(err.Error()), 10_000)
	require.Equal(t, "a\tb", decode(t, with(t, "http_api", "headers.x-tab", "a\tb")).Request.Header.Get("X-Tab"))
}

// Some senders fill one map, some the other, some both, and some leave one empty.
func TestMapsOfOneAndOfManyValuesAreMerged(t *testing.T) {
	for _, tt := range []struct {
		single, multi any
		want          []string
	}{
		{map[string]any{"x-a": "1"}, nil, []string{"1"}},
		{map[string]any{"x-a": "1"}, map[string]any{}, []string{"1"}},
		{map[string]any{"x-a": "1"}, map[string]any{"x-b": []string{"2"}}, []string{"1"}},
		{map[string]any{"x-a": "1"}, map[string]any{"X-A": []string{"2", "3"}}, []string{"2", "3"}},
		{map[string]any{"x-a": "1"}, map[string]any{"x-a": []string{}}, []string{"1"}},
		{map[string]any{"x-a": "1"}, map[string]any{"x-a": nil}, []string{"1"}},
		{map[string]any{"x-a": nil}, map[string]any{"x-a": []string{"2"}}, []string{"2"}},
		{nil, map[string]any{"x-a": []string{"2", "3"}}, []string{"2", "3"}},
		{map[string]any{}, map[string]any{}, nil},
	} {
		for _, name := range []string{"rest_api", "load_balancer"} {
			payload := with(t, name, "headers", tt.single)
			var event map[string]any
			require.NoError(t, json.Unmarshal(payload, &event))
			event["multiValueHeaders"] = tt.multi
			event["queryStringParameters"], event["multiValueQueryStringParameters"] = tt.single, tt.multi
			payload, err := json.Marshal(event)
			require.NoError(t, err)
			r := decode(t, payload).Request
			require.Equal(t, tt.want, r.Header["X-A"], string(payload))
			multi, _ := tt.multi.(map[string]any)
			if _, upper := multi["X-A"]; !upper { // parameters have a case
				require.Equal(t, tt.want, r.URL.Query()["x-a"], string(payload))
			}
		}
	}
}

// A load balancer reads one form of answer, the one of its event.
func TestTheAnswersFormFollowsTheHeadersThatCame(t *testing.T) {
	for multi, payload := range map[bool][]byte{
		false: with(t, "load_balancer", "multiValueHeaders", map[string]any{}),
		true:  with(t, "load_balancer_multi", "multiValueHeaders", map[string]any{}),
	} {
		got, err := decode(t, payload).Answer(response(200, "", http.Header{"X-A": {"1"}}))
		require.NoError(t, err)
		require.Equal(t, multi, strings.Contains(string(got), "multiValueHeaders"), string(got))
	}
}
