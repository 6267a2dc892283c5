package dev

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

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

// What an app is waited for is said in words about the app, and nobody there knows what a peer is.
func TestAnAppThatDoesNotListenIsToldWhereItShould(t *testing.T) {
	f := &follower{session: &session{}}
	require.Equal(t, "waiting for the app: it does not listen yet. It should listen on the port that is in the variable PORT, and listens nowhere yet",
		f.waiting("its peer to dial", nil))
	require.Equal(t, "waiting for the app: GET http://127.0.0.1:1/: connection refused. It should listen on the port that is in the variable PORT, "+
		"and listens on 3000: --port 3000 tells us so", f.waiting("GET http://127.0.0.1:1/: connection refused", []int{3000}))
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
