package direct

import (
	"net/http"
	"net/http/httptest"
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
		{`"hello"`, 200, "application/json", `"hello"`},
		{`{"a":1}`, 200, "application/json", `{"a":1}`},
		{`[1]`, 200, "application/json", `[1]`},
		{`null`, 200, "application/json", `null`},
		{``, 200, "application/json", ``},
		{`{"statusCode":null}`, 200, "application/json", `{"statusCode":null}`},
		{`{"statusCode":204}`, 204, "application/json", ``},
		{`{"statusCode":500,"headers":{"content-type":"text/html","x-n":1,"x-b":true},"body":"<p>"}`, 500, "text/html", `<p>`},
		{`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "application/json", `hi`},
	} {
		a, err := parseAnswer([]byte(test.payload))
		require.NoError(t, err, test.payload)
		require.Equal(t, test.status, a.status, test.payload)
		require.Equal(t, test.kind, a.header.Get("Content-Type"), test.payload)
		require.Equal(t, test.body, string(a.body), test.payload)
	}
	for _, payload := range []string{
		`{`, `{"statusCode":"ok"}`, `{"statusCode":99}`, `{"statusCode":600}`, `{"statusCode":101}`, `{"statusCode":200,"body":1}`,
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

func TestWhichBodiesAreText(t *testing.T) {
	for kind, want := range map[string]bool{
		"": true, "text/html; charset=utf-8": true, "application/json": true, "application/problem+json": true,
		"application/x-www-form-urlencoded": true, "image/png": false, "application/octet-stream": false, "/": false,
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
