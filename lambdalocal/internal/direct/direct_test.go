package direct

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsAnAnswer(t *testing.T) {
	for _, test := range []struct {
		payload string
		status  int
		kind    string
		body    string
	}{
		// What AWS answered to these, localstack has recorded: test_lambda_url_invocation in its tests/aws/services/lambda_.
		{`"hello"`, 200, "application/json", `hello`},
		{`{"hello": "world"}`, 200, "application/json", `{"hello":"world"}`},
		{`["hello", 3, true]`, 200, "application/json", `["hello",3,true]`},
		{`{"statusCode": 200, "body": "{\"hello\": \"world\"}"}`, 200, "application/json", `{"hello": "world"}`},
		{`3.1`, 200, "application/json", `3.1`},

		{`{"a":"<b>"}`, 200, "application/json", `{"a":"<b>"}`},
		{`[1]`, 200, "application/json", `[1]`},
		{`null`, 200, "application/json", `null`},
		{``, 200, "application/json", ``},
		{`{"statusCode":null}`, 200, "application/json", `{"statusCode":null}`},
		{`{"StatusCode":201,"Body":"x"}`, 200, "application/json", `{"StatusCode":201,"Body":"x"}`},
		{`{"statusCode":201,"Body":"x","HEADERS":{"content-type":"text/css"}}`, 201, "application/json", ``},
		{`{"statusCode":204}`, 204, "application/json", ``},
		{`{"statusCode":500,"headers":{"content-type":"text/html","x-n":1,"x-b":true},"body":"<p>"}`, 500, "text/html", `<p>`},
		{`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "application/json", `hi`},
		{`{"statusCode":"200","body":"OK"}`, 200, "application/json", `OK`},
		{`{"statusCode":"302","headers":{"location":"/x"},"body":{"a": 1}}`, 302, "application/json", `{"a":1}`},
		{`{"statusCode":200,"body":1}`, 200, "application/json", `1`},
		{`{"statusCode":200,"headers":null,"multiValueHeaders":null,"cookies":null,"body":null,"isBase64Encoded":null}`, 200, "application/json", ``},
		{`{"statusCode":200,"headers":{"x":null,"content-type":"a/b"},"multiValueHeaders":{"content-type":["c/d"]}}`, 200, "c/d", ``},
	} {
		a, err := parseAnswer([]byte(test.payload))
		require.NoError(t, err, test.payload)
		require.Equal(t, test.status, a.status, test.payload)
		require.Equal(t, test.kind, a.header.Get("Content-Type"), test.payload)
		require.Equal(t, test.body, string(a.body), test.payload)
	}
	for _, payload := range []string{
		`{`, `{"statusCode":"ok"}`, `{"statusCode":99}`, `{"statusCode":600}`, `{"statusCode":101}`, `{"statusCode":"0x10"}`, `{"statusCode":"99"}`,
		`{"statusCode":200,"headers":{"x":[]}}`, `{"statusCode":200,"body":"*","isBase64Encoded":true}`,
	} {
		_, err := parseAnswer([]byte(payload))
		require.Error(t, err, payload)
	}
}

func TestTheConnectionIsNotTheFunctions(t *testing.T) {
	a, err := parseAnswer([]byte(`{"statusCode":200,"headers":{"Content-Length":"7","Connection":"close","X-A":"b"},"body":"four"}`))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	a.send(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.Header{"Content-Length": {"4"}, "Content-Type": {"application/json"}, "X-A": {"b"}}, w.Header())
}

func TestParametersOfAQuery(t *testing.T) {
	for query, want := range map[string]map[string]string{
		"a=1&a=2&b":         {"a": "1,2", "b": ""},
		"a=b%20c+d&e=%26&f": {"a": "b c d", "e": "&", "f": ""},
		"a;b=1&c=2;3":       {"a;b": "1", "c": "2;3"},
		"%zz=1&a=%":         {"%zz": "1", "a": "%"},
		"=x&&y=":            {"": "x", "y": ""},
		"a=1=2":             {"a": "1=2"},
		"":                  {},
	} {
		require.Equal(t, want, parameters(&http.Request{URL: &url.URL{RawQuery: query}}), query)
	}
}

// An event is not larger than what is in it: Lambda's limit is on its bytes.
func TestAnEventHasNoNeedlessEscapes(t *testing.T) {
	body := "<a href=\"/?b=1&c=2\">"
	r := httptest.NewRequest(http.MethodPost, "/web/?b=1&c=2", nil)
	payload := event(r, target{name: "web", path: "/"}, "id", []byte(body))
	require.Contains(t, string(payload), `"rawQueryString":"b=1&c=2"`)
	require.Contains(t, string(payload), `<a href=\"/?b=1&c=2\">`)
	require.True(t, json.Valid(payload))
	require.Equal(t, byte('}'), payload[len(payload)-1])
}

func TestAStreamedAnswer(t *testing.T) {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00"
	for name, tt := range map[string]struct {
		kind  string
		parts []string
		want  int
		is    string // content type
		body  string
	}{
		"of one kind":        {"text/plain", []string{"a", "b"}, 200, "text/plain", "ab"},
		"of no kind":         {"", []string{"a"}, 200, "application/octet-stream", "a"},
		"with a prelude":     {integration, []string{`{"statusCode":`, "201}" + zeros[:3], zeros[3:] + "a", "b"}, 201, "application/octet-stream", "ab"},
		"whose prelude says": {integration, []string{`{"statusCode":null,"headers":{"content-type":"a/b"}}` + zeros + "a"}, 200, "a/b", "a"},
		"with zeros":         {integration, []string{"{}" + zeros + zeros}, 200, "application/octet-stream", zeros},
	} {
		w := httptest.NewRecorder()
		s := &stream{w: w}
		s.kind(tt.kind)
		for _, part := range tt.parts {
			require.NoError(t, s.chunk([]byte(part)), name)
		}
		begun, wrong := s.close(true)
		require.True(t, begun, name)
		require.NoError(t, wrong, name)
		require.Equal(t, tt.want, w.Code, name)
		require.Equal(t, tt.is, w.Header().Get("Content-Type"), name)
		require.Equal(t, tt.body, w.Body.String(), name)
	}
	for name, parts := range map[string][]string{
		"without an end":   {"hello"},
		"that is too long": {strings.Repeat("x", maxPrelude+1)},
		"without JSON":     {zeros + "a"},
		"without a status": {`{"statusCode":"no"}` + zeros},
	} {
		s := &stream{w: httptest.NewRecorder()}
		s.kind(integration)
		for _, part := range parts {
			_ = s.chunk([]byte(part))
		}
		begun, wrong := s.close(true)
		require.False(t, begun, name)
		require.Error(t, wrong, name)
	}
}

func TestWhichBodiesAreText(t *testing.T) {
	for kind, want := range map[string]bool{
		"": true, "text/html; charset=utf-8": true, "application/json": true, "application/problem+json": true,
		"application/x-www-form-urlencoded": false, "image/png": false, "application/octet-stream": false, "/": false,
	} {
		require.Equal(t, want, isText(http.Header{"Content-Type": {kind}}), kind)
	}
	require.False(t, isText(http.Header{"Content-Type": {"text/css"}, "Content-Encoding": {"gzip"}}))
}

// Whatever a function answers, the client gets a response that net/http can send.
func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"multiValueHeaders":{"c":["d"]},"cookies":["e=f"],"body":"Zw==","isBase64Encoded":true}`))
	f.Add([]byte(`"text"`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := parseAnswer(payload)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, a.status, 200)
		require.LessOrEqual(t, a.status, 599)
		a.send(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
}

func TestAStreamedAnswerMayBeginWithItsHead(t *testing.T) {
	w := httptest.NewRecorder()
	s := &stream{w: w}
	s.kind(integration)
	whole := `{"statusCode":"201","headers":{"Content-Type":"text/plain","Content-Length":"9"},"cookies":["a=b"]}` + string(separator) + "body"
	for n := range whole { // byte by byte
		require.NoError(t, s.chunk([]byte(whole[n:n+1])))
	}
	begun, wrong := s.close(true)
	require.True(t, begun)
	require.NoError(t, wrong)
	require.Equal(t, "201 body", strconv.Itoa(w.Code)+" "+w.Body.String())
	require.Equal(t, http.Header{"Content-Type": {"text/plain"}, "Set-Cookie": {"a=b"}}, w.Header())
	require.ErrorIs(t, s.chunk([]byte("late")), errCallerHasGone)
}

func TestAStreamedAnswerWithoutAHeadIsABody(t *testing.T) {
	for _, body := range []string{"", `{"statusCode":500}`} {
		w := httptest.NewRecorder()
		s := &stream{w: w}
		s.kind("")
		if body != "" {
			require.NoError(t, s.chunk([]byte(body)))
		}
		_, wrong := s.close(true)
		require.NoError(t, wrong)
		require.Equal(t, 200, w.Code)
		require.Equal(t, "application/octet-stream", w.Header().Get("Content-Type"))
		require.Equal(t, body, w.Body.String())
	}
}

func TestAHeadThatIsNoneIsNotSent(t *testing.T) {
	for name, head := range map[string]string{
		"no JSON": "x" + string(separator), "status": `{"statusCode":7}` + string(separator), "too long": strings.Repeat("x", maxPrelude+1), "cut": `{"statusCode":200}`,
	} {
		s := &stream{w: httptest.NewRecorder()}
		s.kind(integration)
		_ = s.chunk([]byte(head))
		begun, wrong := s.close(true)
		require.Error(t, wrong, name)
		require.False(t, begun, name)
	}
}
