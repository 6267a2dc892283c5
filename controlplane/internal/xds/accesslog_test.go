package xds_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A desk gives each function's requests what its name says.
type desk struct{ endpoint func() string }

// A granted lease has waited.
type granted struct {
	endpoint string
	wait     admission.Wait
}

func (g granted) Endpoint() string     { return g.endpoint }
func (g granted) Wait() admission.Wait { return g.wait }
func (granted) Release()               {}

func (d desk) Acquire(_ context.Context, r admission.Request) (granted, error) {
	g := granted{d.endpoint(), admission.Wait{Instance: "i-1", Start: admission.NoStart}}
	began := time.Unix(1.8e9, 0)
	switch r.Function {
	case "cold":
		g.wait = admission.Wait{
			Instance: "i-2", Arrived: began.Add(time.Millisecond), Queue: 812345 * time.Microsecond, Start: admission.Cold,
			Began: began, Up: began.Add(801 * time.Millisecond),
		}
	case "late":
		refused := admission.Evict(admission.QueueTimeout)
		refused.Waited = 30*time.Second + time.Microsecond
		return g, refused
	case "full":
		return g, admission.Reject(admission.QueueFull)
	}
	return g, nil
}

// startSeen is a front with an access log.
func startSeen(t *testing.T, query bool, functions ...config.Function) (f *front, log string) {
	log = filepath.Join(t.TempDir(), "access.log")
	quiet := logrus.New()
	quiet.SetOutput(testWriter{t})
	server := extproc.New(desk{func() string { return f.endpoint }}, quiet)
	f = startFrontWith(t, frontOptions{processor: server, change: func(c *config.Config) {
		c.AccessLog = config.AccessLog{To: log, Query: query}
	}}, functions...)
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	for _, one := range functions {
		if !one.Disabled {
			f.eventuallyKnown(t, one.Name, f.endpoint)
		}
	}
	return f, log
}

// logged waits for a request's line.
func logged(t *testing.T, log, id string) (line map[string]any) {
	t.Helper()
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(log)
		for one := range bytes.Lines(text) {
			line = map[string]any{}
			if bytes.HasSuffix(one, []byte("\n")) {
				require.NoError(t, json.Unmarshal(one, &line), "%s", one)
			}
			if line["request_id"] == id {
				return true
			}
		}
		return false
	}, patience, 10*time.Millisecond, "nothing of %s", id)
	return line
}

// What is logged of each kind of answer. Times differ; that they are numbers is what is held.
func TestTheAccessLogSaysWhatBecameOfARequest(t *testing.T) {
	off := testFunction("off", config.Route{Path: "/off"})
	off.Disabled = true
	f, log := startSeen(t, false, off,
		testFunction("go", config.Route{Path: "/go", StripPrefix: true}),
		testFunction("cold", config.Route{Path: "/cold"}),
		testFunction("late", config.Route{Path: "/late"}),
		testFunction("full", config.Route{Path: "/full"}),
	)
	answered := map[string]any{"status": 200.0, "cause": nil, "flags": "-", "attempts": 1.0, "details": "via_upstream"}
	for path, want := range map[string]map[string]any{
		"/go/hello?secret=1": {"function": "go", "path": "/go/hello", "instance": "i-1", "queue_ms": 0.0, "start": "none", "status": 200.0},
		"/cold":              {"function": "cold", "instance": "i-2", "queue_ms": 812.345, "start": "cold", "status": 200.0},
		// It is refused by an instance, and goes to another.
		"/go/full": {"function": "go", "instance": "i-1", "queue_ms": 0.0, "start": "none", "status": 200.0},
		"/go/dies": {"function": "go", "instance": "i-1", "status": 502.0, "cause": "answer_aborted", "flags": "UR", "attempts": 1.0},
		"/late":    {"function": "late", "instance": nil, "queue_ms": 30000.001, "start": nil, "status": 504.0, "cause": "queue_timeout"},
		"/full":    {"function": "full", "instance": nil, "queue_ms": nil, "start": nil, "status": 503.0, "cause": "queue_full"},
		"/off/x":   {"function": "off", "instance": nil, "status": 404.0, "cause": "disabled"},
		"/nowhere": {"function": nil, "instance": nil, "status": 404.0, "cause": "no_route", "flags": "NR"},
	} {
		t.Run(path, func(t *testing.T) {
			answer, body, _ := f.get(t, path, "X-Request-Id", path)
			line := logged(t, log, path)
			if want["status"] == 200.0 {
				maps.Copy(want, answered)
			}
			for name, value := range want {
				require.Equal(t, value, line[name], "%s of %v", name, line)
			}
			require.Equal(t, "GET", line["method"])
			require.Equal(t, f.address, line["host"])
			require.Equal(t, "127.0.0.1", line["client"])
			require.InDelta(t, len(body), line["bytes_out"], 0)
			require.IsType(t, 0.0, line["duration_ms"])
			_, err := time.Parse(time.RFC3339, line["time"].(string))
			require.NoError(t, err)
			if cause, _ := want["cause"].(string); cause != "" {
				require.Equal(t, cause, answer.Header.Get(wire.CauseHeader), "the client is told the same")
			}
		})
	}
	answer, _, err := f.get(t, "/healthz", "X-Request-Id", "a load balancer's")
	require.NoError(t, err)
	require.Equal(t, 200, answer.StatusCode)
	_, _, err = f.get(t, "/cold", "X-Request-Id", "the last")
	require.NoError(t, err)
	logged(t, log, "the last")
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Equal(t, 9, bytes.Count(text, []byte("\n")), "one line a request")
}

// A WebSocket is a line when it has ended.
func TestAnUpgradedConnectionIsLoggedAtItsEnd(t *testing.T) {
	f, log := startSeen(t, false, testFunction("cold", config.Route{Path: "/cold"}))
	conn, err := net.Dial("tcp", f.address)
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET /cold HTTP/1.1\r\nHost: a\r\nX-Request-Id: socket\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
	_, err = io.ReadFull(in, make([]byte, len("hello")))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	line := logged(t, log, "socket")
	for name, want := range map[string]any{"status": 101.0, "function": "cold", "instance": "i-2", "queue_ms": 812.345, "start": "cold", "bytes_in": 5.0, "bytes_out": 5.0} {
		require.Equal(t, want, line[name], "%s of %v", name, line)
	}
}

func TestPathsAreLoggedWithTheirQueryIfAskedTo(t *testing.T) {
	f, log := startSeen(t, true, testFunction("go", config.Route{Path: "/go", StripPrefix: true}))
	_, _, err := f.get(t, "/go/a%2Fb?x=1", "X-Request-Id", "one")
	require.NoError(t, err)
	require.Equal(t, "/go/a%2Fb?x=1", logged(t, log, "one")["path"])
}

// Server-Timing is for those who are to have it, and beside one of the app's.
func TestServerTimingIsToldToThoseWhoAskForIt(t *testing.T) {
	on := func(name string, header *config.HeaderMatch) config.Function {
		f := testFunction(name, config.Route{Path: "/" + name})
		f.ServerTiming = config.ServerTiming{Enabled: true, Header: header}
		return f
	}
	secret := &config.HeaderMatch{Name: "X-Timing", Value: "50% off"}
	f, _ := startSeen(t, false, on("cold", secret), on("go", nil), testFunction("off", config.Route{Path: "/off"}), on("late", nil), on("full", secret))
	timing := func(path string, headers ...string) []string {
		answer, _, err := f.get(t, path, headers...)
		require.NoError(t, err)
		return answer.Header.Values("Server-Timing")
	}
	cold := []string{"queue;dur=812.345, start;desc=cold;dur=800"}
	require.Equal(t, cold, timing("/cold", "X-Timing", "50% off"))
	require.Equal(t, append([]string{"app;dur=1"}, cold...), timing("/cold/timed", "X-Timing", "50% off"))
	require.Empty(t, timing("/cold"))
	require.Empty(t, timing("/cold", "X-Timing", "50% OFF"))
	require.Empty(t, timing("/cold", "X-Timing", "-"))
	require.Empty(t, timing("/off", "X-Timing", "50% off"))
	require.Equal(t, []string{"queue;dur=0"}, timing("/go"))
	require.Equal(t, []string{"queue;dur=0"}, timing("/go/full"), "an instance refused it")
	require.Equal(t, []string{"queue;dur=30000.001"}, timing("/late"), "it got no slot in time")
	require.Equal(t, []string{"queue;dur=0"}, timing("/full", "X-Timing", "50% off"))
	require.Empty(t, timing("/full"))
}
