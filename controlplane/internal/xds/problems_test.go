package xds_test

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

// Every way that is known to lead to an answer of Envoy's own, by the cause that the answer must have. The document has the
// answer's status, and nothing of Envoy's own words is in it.
func TestEveryAnswerOfEnvoysOwnHasItsCause(t *testing.T) {
	off := testFunction("off", config.Route{Path: "/off"})
	off.Disabled = true
	f := startFront(t, off, timed("first", config.Timeouts{FirstByte: limit}), timed("idle", config.Timeouts{Idle: limit}),
		testFunction("go", config.Route{Path: "/go"}), testFunction("gone", config.Route{Path: "/gone"}),
		testFunction("dead", config.Route{Path: "/dead"}), testFunction("lost", config.Route{Path: "/lost"}))
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	f.eventuallyKnown(t, "go", f.endpoint)
	dead, lost := filepath.Join(f.dir, "dead.sock"), filepath.Join(f.dir, "lost.sock")
	hangUp(t, lost)
	f.update("dead", upstream.Endpoint{Path: dead, Health: upstream.Healthy, Weight: 1})
	f.update("lost", upstream.Endpoint{Path: lost, Health: upstream.Healthy, Weight: 1})
	f.eventuallyKnown(t, "dead", dead)
	f.eventuallyKnown(t, "lost", lost)

	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\n@\r\n" }
	ways := map[string][]string{
		"404 no_route":             {get("/nowhere"), "CONNECT a:80 HTTP/1.1\r\n@\r\n", get("http://a?b")},
		"404 disabled":             {get("/off")},
		"400 request_invalid":      {get("/%"), get("/ü"), get("/go#"), get("*"), "GET /go HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n"},
		"501 request_unsupported":  {"POST /go HTTP/1.1\r\n@Transfer-Encoding: gzip\r\n\r\n"},
		"421 misdirected":          {get("https://a/go")},
		"431 headers_too_large":    {get("/go/" + strings.Repeat("x", 100<<10)), "GET /go HTTP/1.1\r\n@" + strings.Repeat("X: y\r\n", 1001) + "\r\n"},
		"502 answer_aborted":       {get("/go/dies")},
		"502 answer_invalid":       {get("/go/huge")},
		"502 instance_lost":        {get("/lost")},
		"503 no_instance":          {get("/gone")},
		"503 instance_unreachable": {get("/dead")},
		"504 response_timeout":     {get("/first/silent")},
		"408 idle_timeout":         {"POST /idle/echo HTTP/1.1\r\n@Content-Length: 100\r\n\r\nbegun"},
	}
	seen := map[string]bool{}
	for want, requests := range ways {
		for _, request := range requests {
			r := f.send(t, strings.Replace(request, "@", "Host: a\r\nConnection: close\r\n", 1))
			require.Equal(t, want, r.outcome(t), "%.80q", request)
			require.Equal(t, r.StatusCode == http.StatusServiceUnavailable, r.Header.Get("Retry-After") != "")
			for _, word := range []string{"upstream", "envoy", "codec", f.dir} {
				require.NotContains(t, r.body, word)
			}
		}
		seen[want[len("400 "):]] = true
	}
	for cause, why := range map[string]string{
		"overload":        "Envoy's limits are out of reach; the peers have tests of theirs",
		"internal":        "no way is known that leads there",
		"request_timeout": "takes 30 s: see below",
	} {
		require.NotContains(t, seen, cause, why)
		seen[cause] = true
	}
	require.Equal(t, xds.Causes(), slices.Sorted(maps.Keys(seen)))
}

// hangUp accepts connections on a socket, reads something and closes them.
func hangUp(t *testing.T, path string) {
	socket, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_ = conn.Close()
		}
	}()
}

func TestLongHeadersThatDoNotComeAreATimeout(t *testing.T) {
	f := startAnyHost(t)
	conn, err := net.Dial("tcp", f.address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*patience)))
	_, err = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	body := make([]byte, resp.ContentLength)
	_, err = bufio.NewReader(resp.Body).Read(body)
	require.NoError(t, err)
	require.Equal(t, "408 request_timeout", reply{resp, string(body)}.outcome(t))
}
