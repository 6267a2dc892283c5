package xds_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// claims are what any client can send.
const claims = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: claimed\r\nX-Forwarded-Port: 444\r\n" +
	"X-Forwarded-Prefix: /claimed\r\nX-Forwarded-Server: claimed\r\nX-Forwarded-Ssl: on\r\nX-Real-Ip: 6.6.6.6\r\n" +
	"Forwarded: for=6.6.6.6;host=claimed;proto=https\r\nX-Request-Id: mine\r\n" +
	"X-Forwarded-Scheme: https\r\nX-Forwarded-Protocol: ssl\r\nX-Forwarded-User: root\r\nX-Forwarded-Fo: 6.6.6.6\r\nX-Forwarded-For-: 6.6.6.6\r\n" +
	"X_Forwarded_Proto: https\r\nX-Forwarded_Host: claimed\r\nX_Forwarded-For: 6.6.6.6\r\nX_Real_Ip: 6.6.6.6\r\nX-Real_Ip: 6.6.6.6\r\n"

// told is what the app is told of a request's way, without the names that it was not told.
func (f *front) told(t *testing.T, address, headers string) map[string]string {
	t.Helper()
	at := *f
	at.address = address
	r := at.send(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+headers+"\r\n")
	require.Equal(t, "200", r.outcome(t))
	var got seen
	require.NoError(t, json.Unmarshal([]byte(r.body), &got))
	told := map[string]string{}
	for name, values := range got.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x") || name == "forwarded" {
			told[name] = strings.Join(values, " | ")
		}
	}
	return told
}

// docs/http.md states this for apps. Who connected is always the last of x-forwarded-for.
func TestWhatAppsAreToldOfARequestsWay(t *testing.T) {
	f := startAnyHost(t)
	plain := f.told(t, f.address, "")
	us, id := plain["x-forwarded-for"], plain["x-request-id"]
	require.NotEmpty(t, us)
	require.NotContains(t, us, ",")
	require.Len(t, id, 36, "a UUID")
	require.Equal(t, map[string]string{
		"x-forwarded-for": us, "x-forwarded-proto": "http", "x-forwarded-host": "a", "x-request-id": id,
	}, plain)

	require.Equal(t, map[string]string{
		"x-forwarded-for": "6.6.6.6," + us, "x-forwarded-proto": "http", "x-forwarded-host": "a", "x-request-id": "mine",
	}, f.told(t, f.address, claims), "no client is believed")

	plain = f.told(t, f.behind, "")
	require.Equal(t, map[string]string{
		"x-forwarded-for": us, "x-forwarded-proto": "http", "x-forwarded-host": "a", "x-request-id": plain["x-request-id"],
	}, plain)
	require.Equal(t, map[string]string{
		"x-forwarded-for": "6.6.6.6," + us, "x-forwarded-proto": "https", "x-forwarded-host": "claimed", "x-request-id": "mine",
		"x-forwarded-port": "444", "x-forwarded-prefix": "/claimed", "x-forwarded-server": "claimed", "x-forwarded-ssl": "on",
		"x-forwarded-scheme": "https", "x-forwarded-protocol": "ssl", "x-forwarded-user": "root", "x-forwarded-fo": "6.6.6.6", "x-forwarded-for-": "6.6.6.6",
		"x-real-ip": "6.6.6.6", "forwarded": "for=6.6.6.6;host=claimed;proto=https",
	}, f.told(t, f.behind, claims), "the proxy is")

	r := f.send(t, "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.NotContains(t, r.body, "X-Forwarded-Host", "none was named")
}
