package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/proxy"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A stubborn app upgrades, says hello and leaves its side open, whatever comes, as Node does by default.
type stubborn struct {
	address string
	reads   bool          // else it takes nothing
	ended   chan struct{} // closed when it sees that its client is gone for good
	heard   chan string   // what it has read until the client stopped sending
}

func newStubborn(t *testing.T, reads bool) *stubborn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	s := &stubborn{address: listener.Addr().String(), reads: reads, ended: make(chan struct{}), heard: make(chan string, 1)}
	go s.serve(listener)
	return s
}

func (s *stubborn) serve(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer close(s.ended)
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16)
	if _, err := http.ReadRequest(in); err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
	if s.reads {
		all, _ := io.ReadAll(in)
		s.heard <- string(all)
	}
	for err == nil { // until the proxy has closed its side: then a write fails
		time.Sleep(10 * time.Millisecond)
		_, err = conn.Write([]byte("."))
	}
}

// upgraded opens a connection to the app and returns the relay's end of it, and of the control stream.
func upgraded(t *testing.T, address string, half time.Duration) (net.Conn, *relaytest.Control) {
	relay := relaytest.Start(t)
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		inv := relaytest.Invocation(100, relay)
		inv.DrainLimit, inv.HalfClosed = wire.Millis(50*time.Millisecond), wire.Millis(half)
		instance.Serve(ctx, instance.Config{Invocation: inv, Environment: "e", Handler: proxy.New(address, false, log), Logger: log})
	}()
	t.Cleanup(func() { cancel(); <-done })
	control, _ := relay.Welcome(t)
	conn, err := relay.Tunnel(t.Context())
	require.NoError(t, err)
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReaderSize(conn, 16)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	hello := make([]byte, 5)
	_, err = io.ReadFull(in, hello)
	require.NoError(t, err)
	awaitLoad(t, control, 1)
	return conn, control
}

// awaitLoad waits until the peer says that so many slots are taken.
func awaitLoad(t *testing.T, control *relaytest.Control, slots int) {
	t.Helper()
	for {
		if m := control.Next(t); m.Kind == wire.KindLoad && m.InFlight == slots {
			return
		}
	}
}

// requireEnded waits until the app has lost its client, and the peer says that no slot is taken.
func (s *stubborn) requireEnded(t *testing.T, control *relaytest.Control) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		require.FailNow(t, "the app's side stays open")
	}
	awaitLoad(t, control, 0)
}

// The client is gone: the relay resets the tunnel. The app's side ends, and with it the slot is free, whether or not anybody
// reads or writes.
func TestUpgradeWhoseClientHasGoneEnds(t *testing.T) {
	for name, reads := range map[string]bool{"the app reads": true, "the app takes nothing": false} {
		t.Run(name, func(t *testing.T) {
			app := newStubborn(t, reads)
			conn, control := upgraded(t, app.address, time.Hour)
			if !reads {
				require.NoError(t, conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
				_, err := conn.Write(make([]byte, 64<<20))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "all buffers are full")
			}
			relaytest.Reset(t, conn)
			app.requireEnded(t, control)
		})
	}
}

// The client only stops sending: the app may go on for a while, and no longer.
func TestUpgradeThatIsHalfClosedIsBounded(t *testing.T) {
	app := newStubborn(t, true)
	conn, control := upgraded(t, app.address, 300*time.Millisecond)
	_, err := io.WriteString(conn, "the last word")
	require.NoError(t, err)
	require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
	require.Equal(t, "the last word", <-app.heard, "the app sees the end of what its client sends")
	more := make([]byte, 3)
	_, err = io.ReadFull(conn, more)
	require.NoError(t, err)
	require.Equal(t, "...", string(more), "and still answers")
	app.requireEnded(t, control)
}
