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

// An Envoy that starts while nobody leads has its configuration from the caretaker, and everything again from who leads next.
func TestAnEnvoyStartsWhileNobodyLeads(t *testing.T) {
	s := startApart(t, 10)
	s.Leader.Kill()
	for range 2 {
		s.RestartEnvoyAlone()
		held := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
		held.more(s, 50)
		requireServed(t, held.stop())
	}
	calm := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
	s.Leader = s.StartControlPlane()
	s.Leader.Leads()
	burst := startLoad(t, s, 30, endless, "/app/sleep?ms=500") // more than those that are ready have slots for
	s.Eventually("more are ready", func() error {
		if ready := s.Function("app").Ready; ready < 3 {
			return fmt.Errorf("%d are", ready)
		}
		return nil
	})
	burst.more(s, 100)
	requireServed(t, burst.stop())
	requireServed(t, calm.stop())
}

// pass goes on until so much time has passed.
func (l *load) pass(s *controlplanetest.Stack, d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
		l.more(s, 50)
	}
}

// standsStill stops the leader for so long at 70 % of what the instances can do.
func standsStill(t *testing.T, d time.Duration, wakes func(*controlplanetest.Stack)) {
	s := startApart(t, 10)
	calm := startLoad(t, s, 14, endless, "/app/sleep?ms=50")
	calm.more(s, 100)
	invoked := s.Lambda.Counters("app").Started
	s.Leader.Signal(syscall.SIGSTOP)
	calm.pass(s, d)
	s.Leader.Signal(syscall.SIGCONT)
	wakes(s)
	s.Leader.Leads()
	calm.pass(s, 3*time.Second) // for as long as what was leased by others is not the leader's
	requireServed(t, calm.stop())
	require.Empty(t, s.Function("app").Ends, "nothing was drained that a caretaker had leased")
	require.Equal(t, invoked, s.Lambda.Counters("app").Started)
}

// Scenario 43, paused: a leader that stands still for less than its lease leads on, and does not act on what it knew: nobody notices.
func TestLongALeaderThatStandsStillTakesOverAnew(t *testing.T) {
	standsStill(t, 3*time.Second, func(*controlplanetest.Stack) {})
}

// One whose lease has run out meanwhile ends when it wakes, and is started again.
func TestLongALeaderThatStandsStillForLongEnds(t *testing.T) {
	standsStill(t, 10*time.Second, func(s *controlplanetest.Stack) {
		s.Leader.Ends()
		s.Leader = s.StartControlPlane()
	})
}

// Scenario 43, away for a minute: while nobody leads, what is ready serves on; who finds all slots taken is told so in time.
func TestLongNobodyLeads(t *testing.T) {
	t.Parallel()
	s := startApart(t, 2)
	calm := startLoad(t, s, 14, endless, "/app/sleep?ms=50") // 70 % of the slots
	calm.more(s, 100)
	s.Leader.Kill()
	calm.pass(s, time.Minute)
	results := calm.stop()
	t.Logf("%d requests, the longest took %v", len(results), longest(results, time.Time{}, time.Now()))
	requireServed(t, results)

	crowd := startLoad(t, s, 40, 40, "/app/sleep?ms=25000")
	refused := 0 // after the 20 s that a request waits for a leader
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
	t.Parallel()
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

// An everything is what clients may have open while control planes are replaced.
type everything struct {
	sockets int
	steady  int // clients that ask once a second
	held    int // clients of a function with one slot
	upload  time.Duration
	rounds  int // of each phase
}

// phases are how control planes end, one phase after the other.
var phases = []struct {
	name string
	end  func(*controlplanetest.ControlPlane) // nil: they do not
}{
	{"undisturbed", nil},
	{"SIGTERM", (*controlplanetest.ControlPlane).Stop},
	{"kill -9", (*controlplanetest.ControlPlane).Kill},
}

// between are the results of the requests that began in the time.
func between(results []result, from, to time.Time) (of []result) {
	for _, r := range results {
		if !r.began.Before(from) && r.began.Before(to) {
			of = append(of, r)
		}
	}
	return of
}

// Scenario 43, a rolling deployment: control planes are replaced and killed under everything that a client may have open, and no client sees an error.
func TestControlPlanesAreReplacedUnderEverything(t *testing.T) {
	everything{sockets: 50, steady: 20, held: 10, upload: 3 * time.Second, rounds: 1}.survives(t)
}

func TestLongControlPlanesAreReplacedUnderEverything(t *testing.T) {
	everything{sockets: 1000, steady: 200, held: 50, upload: 30 * time.Second, rounds: 3}.survives(t)
}

func (e everything) survives(t *testing.T) {
	function := func(name string, slots, most int) controlplanetest.Function {
		f := controlplanetest.App(t, name, controlplanetest.Library)
		f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.Max = slots, 1, most
		return f
	}
	dear := function("dear", 1, 20)
	one := config.Default().Pricing.Rates(dear.Lambda.Architecture).PerHour(dear.Local.MemoryMB)
	dear.Lambda.MemoryMB, dear.Scaling.DollarsPerHour = dear.Local.MemoryMB, 2.5*one
	s := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{function("app", 10, 4), function("sockets", e.sockets, 1), function("narrow", 1, 1), dear},
		Apart:     true,
		Config:    func(c *config.Config) { c.Relay.TLS = config.RelayTLSOff }, // handshakes would take most of the time
	})
	s.Leader.Leads()
	conns := newSite(t, s, "sockets", controlplanetest.HTTP1).sockets(e.sockets)
	steady := newLoad(t, s, "/app/sleep?ms=20")
	steady.pause = time.Second
	steady.start(e.steady, endless)
	held := startLoad(t, s, e.held, endless, "/narrow/sleep?ms=20") // one slot: all but one wait at any time
	ceiling := startLoad(t, s, 10, endless, "/dear/sleep?ms=50")
	upload := slowUpload(t, s, e.upload)

	loads := map[string]*load{"steady": steady, "held": held, "at the ceiling": ceiling}
	// pass lets so much happen that what came before it is over.
	pass := func() {
		steady.more(s, 2*int64(e.steady))
		held.more(s, 2*int64(e.held))
		ceiling.more(s, 20)
	}
	var begins []time.Time
	for _, phase := range phases {
		begins = append(begins, time.Now())
		pass()
		for range e.rounds {
			if phase.end != nil {
				next := s.StartControlPlane()
				phase.end(s.Leader)
				s.Leader = next
				s.Leader.Leads()
			}
			pass()
		}
	}
	begins = append(begins, time.Now())
	require.NoError(t, <-upload)
	for name, l := range loads {
		results := l.stop()
		requireServed(t, results)
		for n, phase := range phases {
			of := between(results, begins[n], begins[n+1])
			t.Logf("%s, %s: %d requests, half took %v, the 99th percentile is %v, the longest %v", phase.name, name, len(of),
				percentile(of, 50), percentile(of, 99), longest(of, begins[n], begins[n+1]))
		}
	}
	for n, conn := range conns {
		require.NoError(t, conn.Write(websocket.Text, fmt.Append(nil, n)))
		_, echo, err := conn.Read()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n), string(echo))
	}
	for name, started := range map[string]int{"narrow": 1, "sockets": 1, "dear": 2} {
		require.Equal(t, started, s.Lambda.Counters(name).Started, name)
	}
}

// slowUpload sends a body that takes so long, and gets it back.
func slowUpload(t *testing.T, s *controlplanetest.Stack, takes time.Duration) <-chan error {
	const part, pause = 64 << 10, 100 * time.Millisecond
	parts := int(takes / pause)
	body, sent := io.Pipe()
	go func() {
		for range parts {
			_, _ = sent.Write(make([]byte, part))
			time.Sleep(pause) // a client that is slow
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
		if err == nil && n != int64(part*parts) {
			err = fmt.Errorf("%s: %d of %d bytes came back", response.Status, n, part*parts)
		}
		done <- err
	}()
	return done
}
