package e2e_test

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
)

// startApart starts a stack whose control planes can be killed.
func startApart(t *testing.T, most int) *controlplanetest.Stack {
	t.Helper()
	f := controlplanetest.App(t, "app", controlplanetest.Library)
	f.Scaling.Min, f.Scaling.Max = 2, most
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}, Apart: true})
	s.Eventually("both are ready", func() error {
		if ready := s.Function("app").Ready; ready < 2 {
			return fmt.Errorf("%d are", ready)
		}
		return nil
	})
	return s
}

// more waits until so many more requests have been sent.
func (l *load) more(s *controlplanetest.Stack, n int64) {
	want := l.sent.Load() + n
	s.Eventually("more requests", func() error {
		if sent := l.sent.Load(); sent < want {
			return fmt.Errorf("%d of %d were sent", sent, want)
		}
		return nil
	})
}

func openSocket(t *testing.T, s *controlplanetest.Stack) *websocket.Conn {
	conn, _, err := websocket.Dial(t.Context(), s.URL("/app/ws"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Drop() })
	return conn
}

// A control plane that crashes costs nobody anything: what runs serves on, and the one that is started again goes on with it.
func TestAControlPlaneThatIsKilledIsFollowed(t *testing.T) {
	s := startApart(t, 10)
	invoked := s.Lambda.Counters("app").Started
	short := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
	long := startLoad(t, s, 4, endless, "/app/sleep?ms=2500")
	socket := openSocket(t, s)
	for range 3 {
		short.more(s, 50)
		s.Leader.Kill()
		s.Leader = s.StartControlPlane()
		s.Leader.Leads()
		short.more(s, 50)
	}
	requireServed(t, short.stop())
	requireServed(t, long.stop())
	require.NoError(t, socket.Write(websocket.Text, []byte("still there")))
	_, echo, err := socket.Read()
	require.NoError(t, err)
	require.Equal(t, "still there", string(echo))
	require.Equal(t, invoked, s.Lambda.Counters("app").Started, "nothing was started that was there already")
	require.Equal(t, 2, s.Function("app").Ready)
}

// A deployment of the control plane costs nobody anything either: a standby goes on at once, requests that are held among them.
func TestAControlPlaneHandsOverToAStandby(t *testing.T) {
	s := startApart(t, 10)
	short := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
	held := startLoad(t, s, 30, endless, "/app/sleep?ms=500") // more than two instances have slots for
	short.more(s, 100)
	made := s.Lambda.Counters("app").Cold
	for range 3 {
		short.more(s, 50)
		standby := s.StartControlPlane()
		s.Leader.Stop()
		s.Leader = standby
		s.Leader.Leads()
		short.more(s, 50)
	}
	requireServed(t, short.stop())
	requireServed(t, held.stop())
	require.LessOrEqual(t, s.Lambda.Counters("app").Cold, made+1, "what was there is used")
}

// While nobody leads, what is ready serves on; who finds all slots taken is told so in time.
func TestLongNobodyLeads(t *testing.T) {
	s := startApart(t, 2)
	calm := startLoad(t, s, 14, endless, "/app/sleep?ms=50") // 70 % of the slots
	calm.more(s, 100)
	s.Leader.Kill()
	began := time.Now()
	calm.more(s, 2000)
	t.Logf("%d requests in %v without a leader", 2000, time.Since(began))
	results := calm.stop()
	requireServed(t, results)

	crowd := startLoad(t, s, 40, 40, "/app/sleep?ms=7000")
	refused := 0
	for _, r := range crowd.wait() {
		if r.served() {
			continue
		}
		refused++
		require.Equal(t, http.StatusServiceUnavailable, r.status)
		require.Contains(t, r.body, "no_leader")
	}
	require.Equal(t, 20, refused, "two instances have twenty slots")

	started := s.Lambda.Counters("app").Cold
	calm = startLoad(t, s, 14, endless, "/app/sleep?ms=50")
	s.Leader = s.StartControlPlane()
	s.Leader.Leads()
	calm.more(s, 200)
	requireServed(t, calm.stop())
	require.Equal(t, started, s.Lambda.Counters("app").Cold, "nothing was needed")
}

// A control plane that hangs is followed when its lease has run out, and does no harm when it wakes.
func TestLongAControlPlaneThatHangsIsFollowed(t *testing.T) {
	s := startApart(t, 10)
	calm := startLoad(t, s, 10, endless, "/app/sleep?ms=50")
	calm.more(s, 100)
	hung := s.Leader
	s.Leader = s.StartControlPlane()
	hung.Signal(syscall.SIGSTOP)
	s.Leader.Leads()
	calm.more(s, 200)
	crowd := startLoad(t, s, 40, 80, "/app/sleep?ms=500")
	requireServed(t, crowd.wait()) // more than was there: it starts instances that Envoy gets to know
	hung.Signal(syscall.SIGCONT)
	hung.Ends()
	calm.more(s, 100)
	requireServed(t, calm.stop())
}
