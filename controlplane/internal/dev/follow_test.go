package dev

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// What each new version writes is the next change, and that for ever.
func TestAFileThatChangesInARowIsNoticedOnce(t *testing.T) {
	var r repeats
	now := time.Unix(0, 0)
	change := func(after time.Duration, files ...string) bool {
		now = now.Add(after)
		return r.many(now, files)
	}
	for range manyRepeats - 1 {
		require.False(t, change(time.Second, "out.txt"))
	}
	require.True(t, change(time.Second, "out.txt"))
	require.False(t, change(time.Second, "out.txt"), "once is enough")
	for range 2 * manyRepeats {
		require.False(t, change(time.Minute, "app.py"), "somebody saves it now and then")
	}
	for range manyRepeats {
		require.False(t, change(time.Second, "app.py"))
		require.False(t, change(time.Second, "page.html"))
	}
}

func TestWhereTheAppIsIsToldOnceItCanBeAsked(t *testing.T) {
	for _, c := range []struct{ least, ready, told int }{{0, 0, 1}, {1, 0, 0}, {1, 1, 1}} {
		var out strings.Builder
		f := &follower{session: &session{Options: Options{Min: c.least}, say: &printer{out: &out}}}
		for range 2 {
			f.see(t.Context(), operator.Function{Ready: c.ready}, nil)
		}
		require.Equal(t, c.told, strings.Count(out.String(), "your app"), c)
	}
}

// What an app is waited for is said in words about the app: nobody there knows what a peer is, and a port of its own is no advice.
func TestAnAppThatIsNotReadyIsToldWhatToDo(t *testing.T) {
	f := &follower{session: &session{}}
	const refused, should = "GET http://127.0.0.1:1/: connection refused", "It should listen on the port that is in the variable PORT, and listens "
	for _, c := range []struct {
		what      string
		rightly   bool
		elsewhere []int
		says      string
	}{
		{undialled, false, nil, "it does not listen yet. " + should + "nowhere yet"},
		{undialled, false, []int{3000}, "it does not listen yet. " + should + "on 3000: --port 3000 tells us so"},
		{undialled, true, []int{9229}, "it listens, and does not answer yet"},
		{refused, false, []int{3000}, refused + ". " + should + "on 3000: --port 3000 tells us so"},
		{refused, true, nil, refused}, // it listens by now
		{refused + "; [::1]:1 accepts connections: the app listens on IPv6 only", true, nil, refused +
			"; [::1]:1 accepts connections: the app listens on IPv6 only. It should listen on 127.0.0.1, or on all addresses"},
		{"GET http://127.0.0.1:1/ answered 503", true, []int{9229}, "GET http://127.0.0.1:1/ answered 503"},
	} {
		require.Equal(t, "waiting for the app: "+c.says, f.waiting(c.what, c.rightly, c.elsewhere))
	}
}

// The ports of other environments, of the version that serves say, are no place where this app listens.
func TestOnlyTheEnvironmentOfAStartIsLookedAt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	all := fmt.Sprintf(`[{"state": "busy", "request_id": "old", "pids": [%d], "port": 1}, {"state": "busy", "request_id": "new", "pids": [], "port": 2},
		{"state": "busy", "request_id": "right", "pids": [%[1]d], "port": %d}]`, syscall.Getpgrp(), port)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, all) }))
	defer server.Close()
	f := &follower{session: &session{lambda: lambda{server.Listener.Addr().String()}}}
	for id, c := range map[string]struct{ rightly, elsewhere bool }{"new": {}, "": {}, "old": {elsewhere: true}, "right": {rightly: true}} {
		rightly, elsewhere := f.listening(t.Context(), id)
		require.Equal(t, c.rightly, rightly, id)
		require.Equal(t, c.elsewhere, slices.Contains(elsewhere, port), id)
	}
}

// Without --port each environment has a port of its own for {port}, with it all have that one.
func TestThePortInArguments(t *testing.T) {
	s := &session{Options: Options{Command: []string{"serve", "--bind=127.0.0.1:{port}"}}}
	require.Equal(t, []string{"serve", "--bind=127.0.0.1:{port}"}, s.command())
	s.Port = 3000
	require.Equal(t, []string{"serve", "--bind=127.0.0.1:3000"}, s.command())
	require.Equal(t, "--bind=127.0.0.1:{port}", s.Command[1], "what is printed stays")
}

// The control plane's sentence has times and request ids in it, and is read five times a second.
func TestAFailureThatLastsIsToldOnce(t *testing.T) {
	var out strings.Builder
	f := &follower{session: &session{say: &printer{out: &out}}}
	see := func(format string, args ...any) {
		f.seeFailures(operator.Function{
			StartFailures: map[string]uint64{"app_unhealthy": 1}, BlockedDetail: fmt.Sprintf("starts fail: app_unhealthy; "+format, args...),
		})
	}
	for k := range 3 {
		see("the next one may be tried in %ds; the last failure: it is silent", 3-k)
		see("the next one is tried when it is wanted; the last failure: it is silent")
		see("the next one is tried when it is wanted; the last failure: it is silent; a start waits for its app, for %ds: connection refused", k)
		see("the next one is tried when it is wanted; the last failure: it is silent; 2 starts wait, the oldest for its app, for %ds: connection refused", k)
	}
	require.Equal(t, "dev | the app does not start: starts fail: app_unhealthy; the last failure: it is silent\n", out.String())
	for k := range 3 {
		see("the next one is tried when it is wanted; the last failure: RequestId: 0%d-ab Error: it has ended", k)
	}
	require.Equal(t, 2, strings.Count(out.String(), "\n"), out.String())
}

func TestTheBannerCountsRequests(t *testing.T) {
	for slots, says := range map[int]string{1: "one request at a time in an instance\n", 10: "10 requests at once in an instance\n"} {
		s := &session{Options: Options{Concurrency: slots}}
		require.Contains(t, s.welcome(), says)
	}
}

func TestAWarningNamesTheFlag(t *testing.T) {
	var out strings.Builder
	s := &session{say: &printer{out: &out}}
	s.fromControlPlane(map[string]any{"level": "warning", "msg": "functions[0].scaling.concurrency: function app: that is odd"})
	require.Equal(t, "dev | control plane: --concurrency: function app: that is odd \n", out.String())
}
