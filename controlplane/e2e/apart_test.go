package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
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

// Scenario of a rolling deployment: control planes are replaced and killed under everything that a client may have open.
func TestLongControlPlanesAreReplacedUnderEverything(t *testing.T) {
	const sockets = 200
	function := func(name string, slots, most int) controlplanetest.Function {
		f := controlplanetest.App(t, name, controlplanetest.Library)
		f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.Max = slots, 1, most
		return f
	}
	s := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{function("app", 10, 4), function("sockets", sockets, 1), function("narrow", 1, 1)},
		Apart:     true,
		Config:    func(c *config.Config) { c.Relay.TLS = config.RelayTLSOff }, // handshakes would take most of the time
	})
	s.Leader.Leads()
	conns := newSite(t, s, "sockets", controlplanetest.HTTP1).sockets(sockets)
	short := startLoad(t, s, 8, endless, "/app/sleep?ms=20")
	held := startLoad(t, s, 20, endless, "/narrow/sleep?ms=20") // one slot: nineteen wait at any time
	upload := slowUpload(t, s)

	short.more(s, 100)
	for _, end := range []func(*controlplanetest.ControlPlane){
		(*controlplanetest.ControlPlane).Stop, (*controlplanetest.ControlPlane).Kill, (*controlplanetest.ControlPlane).Stop,
	} {
		next := s.StartControlPlane()
		end(s.Leader)
		s.Leader = next
		s.Leader.Leads()
		short.more(s, 100)
		held.more(s, 20)
	}
	require.NoError(t, <-upload)
	for name, results := range map[string][]result{"short": short.stop(), "held": held.stop()} {
		requireServed(t, results)
		t.Logf("%s: %d requests, the longest took %v", name, len(results), longest(results, time.Time{}, time.Now()))
	}
	for n, conn := range conns {
		require.NoError(t, conn.Write(websocket.Text, fmt.Append(nil, n)))
		_, echo, err := conn.Read()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n), string(echo))
	}
	require.Equal(t, 1, s.Lambda.Counters("narrow").Started)
	require.Equal(t, 1, s.Lambda.Counters("sockets").Started)
}

// slowUpload sends a body that takes some seconds, and gets it back.
func slowUpload(t *testing.T, s *controlplanetest.Stack) <-chan error {
	const part, parts = 64 << 10, 60
	body, sent := io.Pipe()
	go func() {
		for range parts {
			_, _ = sent.Write(make([]byte, part))
			time.Sleep(100 * time.Millisecond) // a client that is slow
		}
		_ = sent.Close()
	}()
	done := make(chan error, 1)
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL("/app/echo"), body)
		if err != nil {
			done <- err
			return
		}
		response, err := controlplanetest.Client(t, controlplanetest.HTTP1).Do(request)
		if err != nil {
			done <- err
			return
		}
		defer response.Body.Close()
		n, err := io.Copy(io.Discard, response.Body)
		if err == nil && n != part*parts {
			err = fmt.Errorf("%s: %d of %d bytes came back", response.Status, n, part*parts)
		}
		done <- err
	}()
	return done
}
