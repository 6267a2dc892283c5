package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Scenario 17: whatever the client claims.
func forwardedHeadersTellTheTruth(t *testing.T, s site) {
	got := s.get("/inspect").inspection(t)
	require.Equal(t, s.host(), got.Host)
	us := got.Header.Get("X-Forwarded-For")
	requireOurAddress(t, us)
	require.Equal(t, []string{"http"}, got.Header["X-Forwarded-Proto"])
	require.Equal(t, []string{s.host()}, got.Header["X-Forwarded-Host"])

	r := s.request(http.MethodGet, "/inspect", nil)
	r.Header.Set("X-Forwarded-For", "6.6.6.6")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-Host", "other.example")
	got = s.do(r).inspection(t)
	require.Equal(t, "6.6.6.6,"+us, strings.Join(got.Header["X-Forwarded-For"], ","), "who connected comes last")
	require.Equal(t, []string{"http"}, got.Header["X-Forwarded-Proto"])
	require.Equal(t, []string{s.host()}, got.Header["X-Forwarded-Host"])
}

// requireOurAddress expects an address of this machine. Envoy names another than 127.0.0.1 for clients on its own machine.
func requireOurAddress(t *testing.T, address string) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(all, func(a net.Addr) bool {
		network, isNetwork := a.(*net.IPNet)
		return isNetwork && network.IP.String() == address
	}), "%s is none of %v", address, all)
}

// Scenario 17.
func requestIDsAreMadeOrKept(t *testing.T, s site) {
	first := s.get("/inspect").inspection(t).Header["X-Request-Id"]
	second := s.get("/inspect").inspection(t).Header["X-Request-Id"]
	require.Len(t, first, 1)
	require.Len(t, first[0], 36, "a UUID")
	require.NotEqual(t, first, second)

	r := s.request(http.MethodGet, "/inspect", nil)
	r.Header.Set("X-Request-Id", "mine")
	require.Equal(t, []string{"mine"}, s.do(r).inspection(t).Header["X-Request-Id"])
}

// Scenario 17: what concerns the client's connection does not reach the app.
func hopByHopHeadersStay(t *testing.T, s site) {
	got := s.raw(fmt.Sprintf("GET /inspect HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\n"+
		"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n\r\n", s.host())).inspection(t).Header
	require.Equal(t, []string{"1"}, got["X-End"])
	for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Te", "Upgrade"} {
		require.NotContains(t, got, name)
	}
}

// Scenario 17: clients can neither speak for us nor steer Envoy.
func reservedHeadersFromClientsAreRemoved(t *testing.T, s site) {
	r := s.request(http.MethodGet, "/inspect", nil)
	for name, value := range map[string]string{
		"Lambda-Dispatch-Refused": "1", "Lambda-Dispatch-Function": "other", "Lambda-Dispatch-Endpoint": "/tmp/x",
		"X-Envoy-Upstream-Rq-Timeout-Ms": "1", "X-Envoy-Max-Retries": "99", "X-Envoy-Retry-On": "5xx",
		"X-Envoy-Original-Path": "/other", "X-Envoy-External-Address": "6.6.6.6", "X-Envoy-Internal": "true",
		"X-Envoy-Force-Trace": "1", "X-Envoy-Decorator-Operation": "x", "X-Envoy-Ip-Tags": "x",
	} {
		r.Header.Set(name, value)
	}
	requireNothingReserved(t, s.do(r).inspection(t).Header)
}

func requireNothingReserved(t *testing.T, header http.Header) {
	t.Helper()
	for name := range header {
		require.NotContains(t, strings.ToLower(name), "envoy")
		require.NotContains(t, strings.ToLower(name), "lambda-dispatch")
	}
}

// Scenario 17: nor does an answer tell what only we need to know, whoever made it, and the app cannot speak for us either.
func nothingInternalIsInAnswers(t *testing.T, s site) {
	secrets := s.secrets()
	refused := url.Values{"n": {"1"}, "name": {"Lambda-Dispatch-Refused"}, "value": {"1"}}
	cause := url.Values{"n": {"1"}, "name": {wire.CauseHeader}, "value": {"queue_full"}}
	for target, status := range map[string]int{
		"/hello":                       http.StatusOK,
		"/inspect":                     http.StatusOK,
		"/headers?" + refused.Encode(): http.StatusOK,
		"/headers?" + cause.Encode():   http.StatusOK,
		"/headers?n=1&size=90000":      http.StatusBadGateway,
		"/status?code=500":             http.StatusInternalServerError,
		"/nothing":                     http.StatusNotFound,
		"/%zz":                         http.StatusBadRequest,
	} {
		a := s.get(target)
		require.Equal(t, status, a.StatusCode, target)
		if status == http.StatusBadGateway || status == http.StatusBadRequest {
			require.NotEmpty(t, a.Header.Get(wire.CauseHeader), target) // it says what the body says, and is ours
			a.Header.Del(wire.CauseHeader)
		}
		requireNothingReserved(t, a.Header)
		a.Header.Del(contract.EnvironmentHeader) // the app's own choice
		said := fmt.Sprint(a.Header) + a.body
		for what, secret := range secrets {
			require.NotContains(t, said, secret, "%s: %s", target, what)
		}
	}
}

// secrets are what clients have no use for.
func (s site) secrets() map[string]string {
	s.t.Helper()
	instances := s.Instances(s.name)
	require.Len(s.t, instances, 1)
	return map[string]string{
		"instance":    instances[0].ID,
		"environment": instances[0].Environment,
		"endpoint":    instances[0].Endpoint,
		"sockets":     s.Config.StateDir,
		"control":     s.Admin,
		"arn":         "arn:aws",
	}
}
