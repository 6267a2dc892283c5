package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Function images are redeployed rarely: peers of the previous build serve under this control plane.
func TestPreviousPeersServe(t *testing.T) {
	t.Parallel()
	app, peer := controlplanetest.Previous(t, "app"), controlplanetest.Previous(t, "lambdapeer")
	s := startBoth(t, func(f *controlplanetest.Function) {
		rotateSoon(f)
		f.Local.Command = []string{app}
		if f.Local.Extensions != nil {
			f.Local.Extensions = []lambdalocal.Extension{lambdalocal.Program(peer)}
		}
	})
	forBoth(t, s, buildsWorkTogether)
}

// The reverse: a function was deployed with a newer peer than its control plane knows.
func TestPeersServeUnderThePreviousControlPlane(t *testing.T) {
	t.Parallel()
	o := controlplanetest.Options{Program: controlplanetest.Previous(t, "controlplane")}
	for _, peer := range controlplanetest.Peers {
		f := controlplanetest.App(t, string(peer), peer)
		rotateSoon(&f)
		o.Functions = append(o.Functions, f)
	}
	forBoth(t, controlplanetest.Start(t, o), buildsWorkTogether)
}

// A cell goes to the next build and back as docs/upgrading.md says, one process after the other, so that each meets the other build's.
// No client notices, and nothing is invoked that was there.
func TestACellIsUpgradedAndGoesBack(t *testing.T) {
	t.Parallel()
	previous := controlplanetest.Previous(t, "lambda-dispatch")
	f := controlplanetest.App(t, "app", controlplanetest.Library)
	f.Scaling.Min, f.Scaling.Max = 2, 2
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}, Apart: true, Build: previous})
	both := func() { eventuallyReady(s, "app", 2) }
	both()
	for _, build := range []string{"", previous} { // "": the code under test
		s.Use(build)
		short := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
		held := startLoad(t, s, 30, endless, "/app/sleep?ms=200") // more than there are slots for
		socket := openSocket(t, s)
		for _, end := range []func(*controlplanetest.ControlPlane){(*controlplanetest.ControlPlane).Stop, (*controlplanetest.ControlPlane).Kill} {
			short.more(s, 50)
			standby := s.StartControlPlane()
			end(s.Leader)
			s.Leader = standby
			s.Leader.Leads()
			short.more(s, 50)
		}
		require.NoError(t, socket.Write(websocket.Text, []byte("still there")))
		_, _, err := socket.Read()
		require.NoError(t, err)
		require.NoError(t, socket.Close(websocket.NormalClosure, ""))
		requireServed(t, held.stop())
		s.RestartRelay()
		both()
		short.more(s, 50)
		requireServed(t, short.stop())
	}
	require.Empty(t, s.Function("app").Ends)
	require.Equal(t, 2, s.Lambda.Counters("app").Started)
}

func rotateSoon(f *controlplanetest.Function) {
	f.Lambda.Timeout = 4 * time.Second // lambdalocal's is longer: a busy machine fails no test
	f.Scaling.Min = 1
}

// buildsWorkTogether expects requests, WebSockets, rotations and drains to go as with parts of one build.
func buildsWorkTogether(t *testing.T, s *controlplanetest.Stack, name string) {
	client := controlplanetest.Client(t, controlplanetest.HTTP1)
	response, err := client.Post(s.URL("/"+name+"/echo"), "text/plain", strings.NewReader(strings.Repeat("x", 1<<20)))
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Len(t, body, 1<<20)

	conn, _, err := websocket.Dial(t.Context(), s.URL("/"+name+"/ws"), nil)
	require.NoError(t, err)
	require.NoError(t, conn.Write(websocket.Text, []byte("hello")))
	_, message, err := conn.Read()
	require.NoError(t, err)
	require.Equal(t, "hello", string(message))
	require.NoError(t, conn.Close(websocket.NormalClosure, ""))

	ended := s.Lambda.Counters(name).Ended
	l := startLoad(t, s, 5, endless, "/"+name+"/sleep?ms=20")
	eventuallyEnded(t, s, name, ended+2) // by rotation
	eventuallyReady(s, name, 1)
	status, answer := s.AdminPost("/api/v1/instances/" + firstReady(t, s, name) + "/drain")
	require.Equal(t, http.StatusAccepted, status, answer)
	s.Eventually("ends by rotation and by drain", func() error {
		ends := s.Function(name).Ends
		if ends[string(wire.ReasonRotation)] == 0 || ends[string(wire.ReasonOperator)] == 0 {
			return fmt.Errorf("they are %v", ends)
		}
		return nil
	})
	requireServed(t, l.stop())
	require.Zero(t, s.Lambda.Counters(name).Errors)
}
