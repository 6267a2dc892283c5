package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Scenario 15. There is one slot in all, so that a socket that does not give it back stops the next test.
func TestWebSockets(t *testing.T) {
	t.Parallel()
	stack := startSites(t, func(o *controlplanetest.Options) {
		for i := range o.Functions {
			o.Functions[i].Scaling.Concurrency, o.Functions[i].Scaling.Max = 1, 1
		}
	})
	t.Run("echo", func(t *testing.T) { eachKind(t, stack, messagesComeBack) })
	t.Run("close by app", func(t *testing.T) { eachKind(t, stack, closeCodesOfTheAppArrive) })
	t.Run("close by client", func(t *testing.T) { eachKind(t, stack, closeCodesOfTheClientAreAnswered) })
	t.Run("cut by app", func(t *testing.T) { eachKind(t, stack, socketsCutByTheAppEnd) })
	t.Run("cut by client", func(t *testing.T) { eachKind(t, stack, socketsCutByTheClientFreeTheirSlot) })
	t.Run("refused", func(t *testing.T) { eachKind(t, stack, upgradesThatTheAppDoesNotWantAreAnswered) })
	t.Run("slot", func(t *testing.T) { eachKind(t, stack, socketsHoldTheirSlotUntilTheyClose) })
}

// socket opens one to the app's echo.
func (s site) socket() *websocket.Conn {
	s.t.Helper()
	conn, response, err := websocket.Dial(s.t.Context(), s.URL("/"+s.name+"/ws"), nil)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Drop() })
	require.NotEmpty(s.t, response.Header.Get(contract.PidHeader), "the app answered the handshake")
	return conn
}

func messagesComeBack(t *testing.T, s site) {
	conn := s.socket()
	for _, message := range [][]byte{{}, []byte("hello ✓"), bytes.Repeat([]byte("x"), 70_000), bytes.Repeat([]byte("y"), 1<<20)} {
		for _, opcode := range []websocket.Opcode{websocket.Text, websocket.Binary} {
			require.NoError(t, conn.Ping())
			require.NoError(t, conn.Write(opcode, message))
			gotOpcode, got, err := conn.Read()
			require.NoError(t, err)
			require.Equal(t, opcode, gotOpcode)
			require.True(t, bytes.Equal(message, got), "%d bytes", len(message))
		}
	}
}

func closeCodesOfTheAppArrive(t *testing.T, s site) {
	for _, code := range []int{websocket.NormalClosure, 1011, 4001} {
		conn := s.socket()
		require.NoError(t, conn.Write(websocket.Text, fmt.Appendf(nil, "close %d enough", code)))
		_, _, err := conn.Read()
		require.Equal(t, &websocket.CloseError{Code: code, Reason: "enough"}, err)
		require.NoError(t, conn.Drop())
	}
}

func closeCodesOfTheClientAreAnswered(t *testing.T, s site) {
	conn := s.socket()
	require.NoError(t, conn.Close(4002, "bye"))
	_, _, err := conn.Read()
	require.Equal(t, &websocket.CloseError{Code: 4002, Reason: "bye"}, err)
}

func socketsCutByTheAppEnd(t *testing.T, s site) {
	conn := s.socket()
	require.NoError(t, conn.Write(websocket.Text, []byte("drop")))
	_, _, err := conn.Read()
	require.Error(t, err)
	var closed *websocket.CloseError
	require.False(t, errors.As(err, &closed), "nobody said goodbye: %v", err)
}

func socketsCutByTheClientFreeTheirSlot(t *testing.T, s site) {
	conn := s.socket()
	s.eventuallyInFlight(1)
	require.NoError(t, conn.Drop())
	s.eventuallyInFlight(0)
}

// The app answers /hello with 200, which is no upgrade and cannot be passed on. Its errors are.
func upgradesThatTheAppDoesNotWantAreAnswered(t *testing.T, s site) {
	for path, status := range map[string]int{"/hello": http.StatusNotImplemented, "/nothing": http.StatusNotFound} {
		_, response, err := websocket.Dial(t.Context(), s.URL("/"+s.name+path), nil)
		require.Error(t, err)
		require.NotNil(t, response, err)
		require.Equal(t, status, response.StatusCode)
	}
	s.process()
}

func socketsHoldTheirSlotUntilTheyClose(t *testing.T, s site) {
	conn := s.socket()
	process := make(chan string, 1)
	go func() {
		a, err := s.try(s.request(http.MethodGet, "/hello", nil))
		if err != nil || a.StatusCode != http.StatusOK {
			process <- fmt.Sprint(a.body, err)
			return
		}
		process <- a.Header.Get(contract.PidHeader)
	}()
	s.Eventually("queued", func() error {
		if f := s.Function(s.name); f.QueueDepth != 1 || f.InFlight != 1 {
			return fmt.Errorf("%d wait, %d in flight", f.QueueDepth, f.InFlight)
		}
		return nil
	})
	require.NoError(t, conn.Write(websocket.Text, []byte("still here")))
	_, message, err := conn.Read()
	require.NoError(t, err)
	require.Equal(t, "still here", string(message))
	require.Empty(t, process, "the socket's slot is taken")
	require.NoError(t, conn.Close(websocket.NormalClosure, ""))
	require.Equal(t, s.process(), <-process)
}

const (
	idleSockets  = 1000
	idleDialling = 8 // at once: a peer dials its tunnels one after the other
)

// Scenario 15: sockets that nobody uses cost a slot each and nothing else.
func TestIdleWebSockets(t *testing.T) {
	stack := startSites(t, func(o *controlplanetest.Options) {
		for i := range o.Functions {
			o.Functions[i].Scaling.Concurrency, o.Functions[i].Scaling.Max = idleSockets, 1
		}
		o.Config = func(c *config.Config) { c.Relay.TLS = config.RelayTLSOff } // a thousand handshakes would take most of the time
	})
	for _, c := range []struct {
		name  string
		count int
	}{{"library", idleSockets}, {"binary", idleSockets / 4}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, stack, c.name, controlplanetest.HTTP1)
			s.process()
			conns := s.sockets(c.count)
			s.eventuallyInFlight(c.count)
			for i, conn := range conns {
				require.NoError(t, conn.Write(websocket.Text, fmt.Append(nil, i)))
			}
			for i, conn := range conns {
				_, message, err := conn.Read()
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(i), string(message))
			}
			for _, conn := range conns {
				require.NoError(t, conn.Drop())
			}
			s.eventuallyInFlight(0)
			require.EqualValues(t, 1, s.Function(c.name).Starts)
		})
	}
}

// sockets opens many, some at once.
func (s site) sockets(count int) []*websocket.Conn {
	s.t.Helper()
	conns, errs := make([]*websocket.Conn, count), make([]error, count)
	var group sync.WaitGroup
	for worker := range idleDialling {
		group.Go(func() {
			for i := worker; i < count; i += idleDialling {
				conns[i], _, errs[i] = websocket.Dial(s.t.Context(), s.URL("/"+s.name+"/ws"), nil)
			}
		})
	}
	group.Wait()
	s.t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Drop()
			}
		}
	})
	require.NoError(s.t, errors.Join(errs...))
	return conns
}

// Sockets that are opened while short requests take most slots gather on one instance, so that the others may end when those are over.
func TestSocketsGather(t *testing.T) {
	stack := startSites(t, func(o *controlplanetest.Options) {
		for i := range o.Functions {
			o.Functions[i].Scaling.Concurrency, o.Functions[i].Scaling.Min = 4, 3
		}
	})
	eachKind(t, stack, func(t *testing.T, s site) {
		s.Eventually("three instances", func() error {
			if n := s.Function(s.name).Ready; n < 3 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		pids := map[string]bool{}
		for range 3 {
			crowd := startLoad(t, s.Stack, 8, endless, "/"+s.name+"/sleep?ms=300")
			s.Eventually("most slots are taken", func() error {
				if n := s.Function(s.name).InFlight; n < 8 {
					return fmt.Errorf("%d requests", n)
				}
				return nil
			})
			conn, response, err := websocket.Dial(t.Context(), s.URL("/"+s.name+"/ws"), nil)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Drop() })
			pids[response.Header.Get(contract.PidHeader)] = true
			requireServed(t, crowd.stop())
		}
		require.Len(t, pids, 1, "processes that have sockets")
	})
}
