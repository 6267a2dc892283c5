package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// Limits of the default configuration, on both ways.
const (
	headersKiB  = 60
	headerCount = 1000
	// What clients, Envoy and the app add to the headers of a test.
	otherBytes = 1 << 10
	otherCount = 25
)

// Scenario 13.
func requestHeadersAreExact(t *testing.T, s site) {
	r := s.request(http.MethodGet, "/inspect", nil)
	sent := http.Header{
		"X-Repeated": {"one", "two", "one"},
		"X-Empty":    {""},
		"X-Utf8":     {"häagen-dazs ✓ 東京"},
		"X-Quoted":   {`"a, b"; c="d\"e", f`},
		"X-Long":     {strings.Repeat("x", 40<<10)},
		"Cookie":     {"a=1; b=2; c="},
	}
	for i := range headerCount - otherCount - 20 {
		sent[fmt.Sprintf("X-Many-%04d", i)] = []string{"v"}
	}
	r.Header = sent.Clone()
	got := s.do(r).inspection(t).Header
	for name, values := range sent {
		require.Equal(t, values, got[name], name)
	}
}

// Scenario 13.
func answerHeadersAreExact(t *testing.T, s site) {
	cookies := s.get("/cookies").Header
	require.Equal(t, []string{
		"a=1; Path=/; HttpOnly", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "c=",
	}, cookies["Set-Cookie"])
	require.Equal(t, []string{""}, cookies["X-Empty"])
	require.Equal(t, []string{"häagen-dazs ✓ 東京"}, cookies["X-Utf8"])

	for _, c := range []struct{ n, size int }{
		{n: headerCount - otherCount, size: 10},
		{n: 1, size: headersKiB<<10 - otherBytes},
	} {
		a := s.get(fmt.Sprintf("/headers?n=%d&size=%d", c.n, c.size))
		require.Equal(t, http.StatusOK, a.StatusCode, a.body)
		for i := range c.n {
			require.Len(t, a.Header.Get(fmt.Sprintf("X-Test-%04d", i)), c.size)
		}
	}
}

// Scenario 13: what is too large is refused with the status that says so, and nobody else notices.
func headersAboveTheLimitsAreRefused(t *testing.T, s site) {
	process := s.process()
	other := s.trickle()
	for _, size := range []int{headersKiB << 10, 80 << 10, 200 << 10} {
		refused := s.get(fmt.Sprintf("/headers?n=1&size=%d", size))
		require.Equal(t, http.StatusBadGateway, refused.StatusCode, "an answer with %d bytes", size)
	}
	for _, n := range []int{headerCount + 1, 5 * headerCount} {
		refused := s.get(fmt.Sprintf("/headers?n=%d&size=1", n))
		require.Equal(t, http.StatusBadGateway, refused.StatusCode, "an answer with %d headers", n)
	}
	s.requireHeadersRefused(map[string]string{"X-Long": strings.Repeat("x", headersKiB<<10)})
	many := map[string]string{}
	for i := range headerCount + 1 {
		many[fmt.Sprintf("X-Many-%04d", i)] = "v"
	}
	s.requireHeadersRefused(many)
	other.requireWhole()
	require.Equal(t, process, s.process())
}

// Scenario 13: a client with headers far above the limit can lose its own connection only.
func hugeHeadersHarmTheirClientOnly(t *testing.T, s site) {
	process := s.process()
	other := s.trickle()
	s.client = controlplanetest.Client(t, s.protocol)
	s.requireHeadersRefused(map[string]string{"X-Long": strings.Repeat("x", 200<<10)})
	other.requireWhole()
	require.Equal(t, process, s.process())
}

// requireHeadersRefused sends a request that Envoy must not pass on. It answers 431 over HTTP/1.1. Over HTTP/2 it can only
// reset the stream, or close the connection if its decoder gave up.
func (s site) requireHeadersRefused(headers map[string]string) {
	s.t.Helper()
	r := s.request(http.MethodGet, "/hello", nil)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	refused, err := s.try(r)
	if s.protocol == controlplanetest.HTTP2 {
		require.Error(s.t, err)
		return
	}
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusRequestHeaderFieldsTooLarge, refused.StatusCode)
	require.Contains(s.t, refused.body, `"cause":"headers_too_large"`)
}

// A trickle is an answer that is on its way while something else happens.
type trickle struct {
	t    *testing.T
	body io.ReadCloser
}

const trickleSize = 300 // bytes, one each millisecond or two

func (s site) trickle() trickle {
	s.t.Helper()
	r := s.request(http.MethodGet, fmt.Sprintf("/bytes?n=%d&chunk=1&delay_ms=1", trickleSize), nil)
	response, err := s.client.Do(r)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	return trickle{s.t, response.Body}
}

func (a trickle) requireWhole() {
	a.t.Helper()
	rest, err := io.ReadAll(a.body)
	require.NoError(a.t, err, "another answer was on its way")
	require.Len(a.t, rest, trickleSize)
	require.NoError(a.t, a.body.Close())
}
