package admin

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATokenIsAskedFor(t *testing.T) {
	token := "first-token-of-16"
	d := open(t, func(o *Options) { o.Token, o.Files = func() string { return token }, filesStatus })
	const drain = "/api/v1/functions/web/drain"

	for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/functions", "/api/v1/functions/web", "/api/v1/instances", "/nothing", "/page", "/healthz/x"} {
		answer, body := d.do(t, "GET", path, "")
		requireProblem(t, answer, body, http.StatusUnauthorized,
			"a token is needed, as Authorization: Bearer TOKEN; it is in the file that admin.token_file names")
		require.Equal(t, "Bearer", answer.Header.Get("WWW-Authenticate"))
	}
	for _, wrong := range []string{"Bearer", "Bearer ", "Bearer first-token-of-1", "Bearer first-token-of-160", "Basic first-token-of-16", "first-token-of-16"} {
		answer, body := d.do(t, "POST", drain, "", "Authorization", wrong)
		requireProblem(t, answer, body, http.StatusUnauthorized,
			"the Authorization header does not have the token that the file of admin.token_file holds")
		require.Equal(t, `Bearer error="invalid_token"`, answer.Header.Get("WWW-Authenticate"), wrong)
	}
	require.Empty(t, d.source.drained)

	for _, right := range []string{"Bearer first-token-of-16", "bearer  first-token-of-16"} {
		answer, _ := d.do(t, "POST", drain, "", "Authorization", right)
		require.Equal(t, http.StatusAccepted, answer.StatusCode, right)
	}
	answer, _ := d.do(t, "GET", "/metrics", "", "Authorization", "Bearer first-token-of-16")
	require.Equal(t, http.StatusOK, answer.StatusCode)

	token = "second-token-of-16"
	answer, _ = d.do(t, "GET", "/metrics", "", "Authorization", "Bearer first-token-of-16")
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode, "the file has another one now")
}

// Probes have no token, and learn no more than they need. A browser gets the page, which asks.
func TestWhatNeedsNoToken(t *testing.T) {
	d := open(t, func(o *Options) { o.Token, o.Files = func() string { return "first-token-of-16" }, filesStatus })
	for path, want := range map[string]string{"/healthz": `{"status":"alive"}`, "/readyz": `{"status":"ready"}`} {
		answer, body := d.do(t, "GET", path, "")
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.JSONEq(t, want, body)
	}
	_, body := d.do(t, "GET", "/readyz", "", "Authorization", "Bearer first-token-of-16")
	require.Contains(t, body, "the key does not fit")
	for _, path := range []string{"/", "/page/page.css"} {
		answer, _ := d.do(t, "GET", path, "", "Accept", "text/html")
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
}

// A token does not make writes of other sites' pages welcome.
func TestATokenDoesNotOpenTheDoorToOtherSites(t *testing.T) {
	d := open(t, func(o *Options) { o.Token = func() string { return "first-token-of-16" } })
	answer, _ := d.do(t, "POST", "/api/v1/functions/web/drain", "", "Authorization", "Bearer first-token-of-16", "Origin", "https://evil.example")
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	require.Empty(t, d.source.drained)
}
