package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// Scenario 14.
func semanticsAreKept(t *testing.T, s site) {
	whole := make([]byte, 1<<20)
	contract.Fill(whole, 0)
	for _, c := range []struct {
		method, target, asked string
		status                int
		header                map[string]string
		body                  string
	}{
		{http.MethodHead, "/bytes?n=1000&length=true", "", 200, map[string]string{"Content-Length": "1000"}, ""},
		{http.MethodHead, "/status?code=404", "", 404, nil, ""},
		{http.MethodGet, "/status?code=204", "", 204, map[string]string{"Content-Length": ""}, ""},
		{http.MethodGet, "/status?code=204&length=2", "", 204, map[string]string{"Content-Length": ""}, ""},
		{http.MethodGet, "/status?code=200&hop-by-hop=true", "", 200, map[string]string{"Upgrade": "", "Keep-Alive": ""}, "status 200\n"},
		{http.MethodGet, "/status?code=304", "", 304, nil, ""},
		{http.MethodGet, "/status?code=418", "", 418, nil, "status 418\n"},
		{http.MethodGet, "/status?code=503", "", 503, map[string]string{"Retry-After": ""}, "status 503\n"},
		{http.MethodGet, "/range", "bytes=100-199", 206, map[string]string{"Content-Range": "bytes 100-199/1048576"}, string(whole[100:200])},
		{http.MethodGet, "/range", "bytes=-5", 206, map[string]string{"Content-Length": "5"}, string(whole[len(whole)-5:])},
		{http.MethodGet, "/range", "bytes=2000000-", 416, map[string]string{"Content-Range": "bytes */1048576"}, "invalid range: failed to overlap\n"},
		{http.MethodOptions, "/hello", "", 200, nil, "hello\n"},
		{http.MethodDelete, "/hello", "", 200, nil, "hello\n"},
		{http.MethodPatch, "/hello", "", 200, nil, "hello\n"},
		{"PROPFIND", "/hello", "", 200, nil, "hello\n"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.method, c.target, c.asked), func(t *testing.T) {
			s := s.in(t)
			r := s.request(c.method, c.target, nil)
			if c.asked != "" {
				r.Header.Set("Range", c.asked)
			}
			a := s.do(r)
			require.Equal(t, c.status, a.StatusCode)
			require.Equal(t, c.body, a.body)
			for name, value := range c.header {
				require.Equal(t, value, a.Header.Get(name), name)
			}
		})
	}
	conditional := s.request(http.MethodGet, "/range", nil)
	conditional.Header.Set("If-None-Match", s.get("/range").Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, s.do(conditional).StatusCode)
}

// Scenario 14: no proxy in between says 100 Continue. With the library it is the app's first read of the body that says
// so; the binary cannot see that the client waits and says it when it passes the body on.
func continueIsForTheFunctionToSay(t *testing.T, s site) {
	asked := func(path string) *asking {
		a := &asking{site: s, conn: s.dial()}
		a.reader = bufio.NewReader(a.conn)
		_, err := fmt.Fprintf(a.conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", path, s.host())
		require.NoError(t, err)
		return a
	}
	wanted := asked("/sha")
	require.True(t, wanted.told())
	digest := wanted.answer()
	require.Equal(t, http.StatusOK, digest.StatusCode)
	require.Contains(t, digest.body, `"length":5`)

	refused := asked("/early-413")
	if s.name == "library" {
		require.False(t, refused.told())
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, refused.answer().StatusCode)
}

// asking is a client that waits until it is told to send its body.
type asking struct {
	site
	conn   net.Conn
	reader *bufio.Reader
}

// told reports whether the first that comes back is 100 Continue.
func (a *asking) told() bool {
	a.t.Helper()
	status, err := a.reader.Peek(len("HTTP/1.1 100"))
	require.NoError(a.t, err)
	return string(status) == "HTTP/1.1 100"
}

// answer sends the body, if told to, and returns the final answer.
func (a *asking) answer() answer {
	a.t.Helper()
	if a.told() {
		a.readAnswer(a.reader)
		_, err := io.WriteString(a.conn, "hello")
		require.NoError(a.t, err)
	}
	return a.readAnswer(a.reader)
}

// Scenario 14.
func trailersPassBothWays(t *testing.T, s site) {
	r := s.request(http.MethodPost, "/trailers", strings.NewReader("hello"))
	r.ContentLength = -1
	r.Header.Set("TE", "trailers")
	r.Trailer = http.Header{"X-Sum": {"one", "two"}, "X-Empty": {""}}
	a := s.do(r)
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Contains(t, a.body, `"length":5`)
	require.Equal(t, []string{"one", "two"}, a.Trailer["X-Sum"])
	require.Equal(t, []string{""}, a.Trailer["X-Empty"])
}

// Scenario 14.
func earlyHintsPass(t *testing.T, s site) {
	r := s.request(http.MethodGet, "/early-hints", nil)
	var hints []string
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, " ", header.Get("Link")))
			return nil
		},
	}))
	a := s.do(r)
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, []string{"103 </style.css>; rel=preload; as=style"}, hints)
}

// What reaches a peer's own HTTP/1.1 server is an upgrade, and that server answers what it does not like by itself, without a
// cause. None of it gets there.
func peersAnswerNothingByThemselves(t *testing.T, s site) {
	upgrade := "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	for what, c := range map[string]struct {
		head, cause string
		status      int
	}{
		"malformed host": {"Host: u@" + s.host() + "\r\n" + upgrade, "request_invalid", http.StatusBadRequest},
		"two hosts":      {"Host: " + s.host() + "\r\nHost: " + s.host() + "\r\n" + upgrade, "request_invalid", http.StatusBadRequest},
		// The app answers 200, which is no upgrade.
		"odd expectation":  {"Host: " + s.host() + "\r\nExpect: foo\r\n" + upgrade, "request_unsupported", http.StatusNotImplemented},
		"expects continue": {"Host: " + s.host() + "\r\nExpect: 100-continue\r\n" + upgrade, "request_unsupported", http.StatusNotImplemented},
	} {
		a := s.raw("GET /hello HTTP/1.1\r\n" + c.head + "\r\n")
		require.Equal(t, c.status, a.StatusCode, "%s: %s", what, a.body)
		require.Equal(t, c.cause, a.cause(s), what)
	}
	nobody := s.raw("GET /" + s.name + "/inspect HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
	want := ""
	if s.name == "binary-h2c" {
		want = "localhost" // HTTP/2 has no empty host
	}
	require.Equal(t, want, nobody.inspection(t).Host)
	old := s.raw("GET /" + s.name + "/inspect HTTP/1.0\r\n\r\n")
	require.Equal(t, "localhost", old.inspection(t).Host)
}
