package xds_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// startAnyHost is a front whose function takes every path of any host.
func startAnyHost(t *testing.T) *front {
	f := startFront(t, testFunction("go", config.Route{}))
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	f.eventuallyKnown(t, "go", f.endpoint)
	return f
}

// A reply is what came back for bytes that no client library would send.
type reply struct {
	*http.Response
	body string
}

// send sends a request as it is written, on a connection of its own. An informational answer counts as none.
func (f *front) send(t *testing.T, text string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", f.address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	method, _, _ := strings.Cut(text, " ")
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		require.NoError(t, err, "%q", text)
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return reply{resp, ""}
		}
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err, "%q", text)
		return reply{resp, string(body)}
	}
}

// outcome is the status, and for an error of Envoy's its cause. An error without a document fails the test.
func (r reply) outcome(t *testing.T) string {
	t.Helper()
	if r.StatusCode < http.StatusBadRequest {
		return strconv.Itoa(r.StatusCode)
	}
	var p struct{ Cause string }
	require.NoError(t, json.Unmarshal([]byte(r.body), &p), r.body)
	requireProblem(t, r.StatusCode, p.Cause, r.Response, r.body)
	require.NotEmpty(t, p.Cause)
	return fmt.Sprint(r.StatusCode, " ", p.Cause)
}

// Scenario 50: what HTTP/1 clients send, by RFC 9110 and 9112: what is legal reaches the app, what is not gets 400, and each refusal has
// a document. @ stands for a host and the end of the connection.
func TestRequestsByteByByte(t *testing.T) {
	f := startAnyHost(t)
	const invalid, unsupported = "400 request_invalid", "501 request_unsupported"
	for _, c := range []struct{ name, request, want string }{
		{"plain", "GET / HTTP/1.1\r\n@\r\n", "200"},

		// Upgrade is an offer, which may be ignored.
		{"upgrade to TLS", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: TLS/1.2\r\n\r\n", "200"},
		{"upgrade to foo", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: foo\r\n\r\n", "200"},
		{"upgrade to almost WebSocket", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket2\r\n\r\n", "200"},
		{"upgrade to less than WebSocket", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocke\r\n\r\n", "200"},
		{"upgrade to nothing", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade:\r\n\r\n", "200"},
		{"upgrade to several", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: foo, bar/1\r\n\r\n", "200"},
		{"upgrade to h2c", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n", "200"},
		{"upgrade with a body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nok", "200"},
		{"upgrade that is not in Connection", "GET / HTTP/1.1\r\n@Upgrade: websocket\r\n\r\n", "200"},
		{"WebSocket", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n", "101"},
		{"WebSocket among others", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo, websocket\r\n\r\n", "101"},
		{"WebSocket with an expectation", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nExpect: foo\r\n\r\n", "101"},

		{"WebSocket with a body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nok", unsupported},
		{"WebSocket with an empty body", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n", "101"},

		// Versions and methods.
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "200"},
		{"HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n", "200"},
		{"HTTP/1.0 with a body in chunks", "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200"},
		{"HTTP/1.1 without a host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", invalid},
		{"method of WebDAV", "PROPFIND / HTTP/1.1\r\n@\r\n", "200"},
		{"unknown method", "BREW / HTTP/1.1\r\n@\r\n", invalid},
		{"method in small letters", "get / HTTP/1.1\r\n@\r\n", invalid},
		{"malformed method", "G(T / HTTP/1.1\r\n@\r\n", invalid},
		{"TRACE", "TRACE / HTTP/1.1\r\n@\r\n", "200"},
		{"CONNECT", "CONNECT a:80 HTTP/1.1\r\n@\r\n", "404 no_route"},
		{"CONNECT to a path", "CONNECT /a HTTP/1.1\r\n@\r\n", invalid},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", invalid},

		// Targets.
		{"absolute form", "GET http://b/x HTTP/1.1\r\n@\r\n", "200"},
		{"absolute form of https", "GET https://a/ HTTP/1.1\r\n@\r\n", "421 misdirected"},
		{"absolute form of ftp", "GET ftp://a/ HTTP/1.1\r\n@\r\n", invalid},
		{"absolute form without a path", "GET http://a HTTP/1.1\r\n@\r\n", "200"},
		{"absolute form with a query only", "GET http://a?b HTTP/1.1\r\n@\r\n", "404 no_route"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n@\r\n", "204"},
		{"GET *", "GET * HTTP/1.1\r\n@\r\n", invalid},
		{"no path", "GET a HTTP/1.1\r\n@\r\n", invalid},
		{"fragment", "GET /a#b HTTP/1.1\r\n@\r\n", invalid},
		{"space", "GET /a b HTTP/1.1\r\n@\r\n", invalid},
		{"raw UTF-8", "GET /ü HTTP/1.1\r\n@\r\n", invalid},
		{"broken escape", "GET /% HTTP/1.1\r\n@\r\n", invalid},

		// Framing.
		{"two equal lengths", "POST / HTTP/1.1\r\n@Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", invalid},
		{"two lengths", "POST / HTTP/1.1\r\n@Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", invalid},
		{"list of lengths", "POST / HTTP/1.1\r\n@Content-Length: 2, 2\r\n\r\nok", invalid},
		{"signed length", "POST / HTTP/1.1\r\n@Content-Length: +2\r\n\r\nok", invalid},
		{"huge length", "POST / HTTP/1.1\r\n@Content-Length: 99999999999999999999\r\n\r\nok", invalid},
		{"length above 63 bits", "POST / HTTP/1.1\r\n@Content-Length: 9223372036854775808\r\n\r\nok", invalid},
		{"greatest length of 64 bits", "POST / HTTP/1.1\r\n@Content-Length: 18446744073709551615\r\n\r\nok", invalid},
		{"length with zeros", "POST /echo HTTP/1.1\r\n@Content-Length: 0000000000000000000002\r\n\r\nok", "200"},
		{"length and chunks", "POST / HTTP/1.1\r\n@Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", invalid},
		{"unknown coding", "POST / HTTP/1.1\r\n@Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", unsupported},
		{"chunked twice", "POST / HTTP/1.1\r\n@Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", unsupported},
		{"chunked in capitals", "POST /echo HTTP/1.1\r\n@Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200"},
		{"broken chunk", "POST / HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\nzz\r\n", invalid},

		// Fields.
		{"empty name", "GET / HTTP/1.1\r\n@: x\r\n\r\n", invalid},
		{"space in a name", "GET / HTTP/1.1\r\n@X A: x\r\n\r\n", invalid},
		{"space before the colon", "GET / HTTP/1.1\r\n@X-A : x\r\n\r\n", invalid},
		{"no colon", "GET / HTTP/1.1\r\n@XA\r\n\r\n", invalid},
		{"NUL", "GET / HTTP/1.1\r\n@X-A: a\x00b\r\n\r\n", invalid},
		{"folded", "GET / HTTP/1.1\r\n@X-A: a\r\n b\r\n\r\n", "200"},
		{"Connection lists odd names", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close,, x-a, é\r\nX-A: 1\r\n\r\n", "200"},
		{"Connection lists Host", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, host\r\n\r\n", invalid},
		{"Connection lists what a proxy says", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x-forwarded-for\r\n\r\n", invalid},
		{"too large", "GET / HTTP/1.1\r\n@X-A: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "431 headers_too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(c.request, "@", "Host: a\r\nConnection: close\r\n", 1)
			require.Equal(t, c.want, f.send(t, text).outcome(t))
		})
	}
}

// An app need not agree to an upgrade. Envoy passes on errors whole, and of other answers the status and the headers.
func TestUpgradesThatAppsDoNotTake(t *testing.T) {
	f := startAnyHost(t)
	for status, want := range map[int]reply{
		200: {&http.Response{StatusCode: 501}, `"cause":"request_unsupported"`},
		204: {&http.Response{StatusCode: 501}, `"cause":"request_unsupported"`},
		302: {&http.Response{StatusCode: 302}, ""},
		403: {&http.Response{StatusCode: 403}, "the app's"},
		426: {&http.Response{StatusCode: 426}, "the app's"},
		503: {&http.Response{StatusCode: 503}, "the app's"},
	} {
		r := f.send(t, fmt.Sprintf("GET /answers/%d HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", status))
		require.Equal(t, want.StatusCode, r.StatusCode, status)
		require.Contains(t, r.body, want.body, status)
		if status == 302 {
			require.Equal(t, "/there", r.Header.Get("Location"))
			require.Empty(t, r.body)
			require.Empty(t, r.Header.Get(extproc.CauseHeader))
		}
	}
}

// RFC 9110, 7.2, and RFC 9112, 3.2: one host, or none where the field is empty.
func TestHosts(t *testing.T) {
	f := startAnyHost(t)
	for host, want := range map[string]string{
		"a": "a", "A.b": "A.b", "a.": "a.", "a:80": "a:80", "a:": "a:", "a:0080": "a:0080", "a:65535": "a:65535", "": "",
		"127.0.0.1:80": "127.0.0.1:80", "[::1]": "[::1]", "[2001:DB8::1]:80": "[2001:DB8::1]:80", "[::ffff:1.2.3.4]": "[::ffff:1.2.3.4]",
		"a_b-c~d": "a_b-c~d", "a!$&'()*+;=b": "a!$&'()*+;=b", "a%2Fb": "a%2Fb", " a ": "a",
	} {
		r := f.send(t, "GET / HTTP/1.1\r\nHost:"+host+"\r\nConnection: close\r\n\r\n")
		require.Equal(t, "200", r.outcome(t), host)
		var got seen
		require.NoError(t, json.Unmarshal([]byte(r.body), &got))
		require.Equal(t, want, got.Host)
	}
	before := f.total()
	for _, host := range []string{
		"u@a", "u:p@a", "@", "a b", "a\tb", "a,b", "a/b", "a?b", "a#b", `a\b`, "a<b", `a"b`, "a\x7fb", "a\x01b", "é", "a%", "a%zz",
		"a:65536", "a:99999", "a:800000", "a:-1", "a:+1", "a:b", "a:80:80", ":80:", "[::1", "::1", "[::1]a", "[g]", "[]",
		"a\r\nHost: b", "a\r\nHost: a",
	} {
		r := f.send(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		require.Equal(t, "400 request_invalid", r.outcome(t), "%q", host)
	}
	require.Equal(t, before, f.total(), "nobody was asked for a slot")

	r := f.send(t, "GET / HTTP/1.0\r\n\r\n")
	require.Contains(t, r.body, `"Host":"localhost"`, "HTTP/1.0 need not name one")
	r = f.send(t, "GET http://b/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	require.Contains(t, r.body, `"Host":"b"`, "the target goes before the field")
}

// Every byte at every place: whatever Envoy lets through must be good enough for the peer's server, else the function is
// blamed for what a client sent, and what it does not let through gets a document.
func TestLongEveryByteIsServedOrRefused(t *testing.T) {
	t.Parallel() // it mostly waits
	f := startAnyHost(t)
	for place, form := range map[string]string{
		"method":              "G%sT / HTTP/1.1\r\n@\r\n",
		"path":                "GET /a%sb HTTP/1.1\r\n@\r\n",
		"query":               "GET /a?b%sc HTTP/1.1\r\n@\r\n",
		"host":                "GET / HTTP/1.1\r\nHost: a%sb\r\nConnection: close\r\n\r\n",
		"name":                "GET / HTTP/1.1\r\n@X-%sA: b\r\n\r\n",
		"value":               "GET / HTTP/1.1\r\n@X-A: b%sc\r\n\r\n",
		"host of an upgrade":  "GET / HTTP/1.1\r\nHost: a%sb\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"path of an upgrade":  "GET /a%sb HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"value of an upgrade": "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-A: b%sc\r\n\r\n",
	} {
		t.Run(place, func(t *testing.T) {
			form := strings.Replace(form, "@", "Host: a\r\nConnection: close\r\n", 1)
			for b := range 256 {
				outcome := f.send(t, fmt.Sprintf(form, string([]byte{byte(b)}))).outcome(t)
				require.Contains(t, []string{"200", "101", "400 request_invalid"}, outcome, "byte %#x", b)
			}
		})
	}
}
