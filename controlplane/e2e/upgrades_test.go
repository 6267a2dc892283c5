package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// Scenarios 15 and 40: a client that has gone, in whatever way, holds no slot, though the app neither reads nor writes nor closes
// its side, which is Node's default for upgraded connections.
func TestUpgradesWhoseClientHasGoneHoldNoSlot(t *testing.T) {
	t.Parallel()
	stack := startSites(t, nil)
	ways := map[string]func(t *testing.T, s site){
		"closes":             func(_ *testing.T, s site) { _ = s.deaf().Close() },
		"only stops sending": func(t *testing.T, s site) { require.NoError(t, s.deaf().CloseWrite()) }, // Envoy takes that for all of it
		"resets": func(t *testing.T, s site) {
			conn := s.deaf()
			require.NoError(t, conn.SetLinger(0))
			_ = conn.Close()
		},
		"resets a stream of HTTP/2": func(t *testing.T, s site) {
			require.NoError(t, s.deafHTTP2().WriteRSTStream(1, http2.ErrCodeCancel))
		},
	}
	for way, leave := range ways {
		t.Run(way, func(t *testing.T) {
			eachKind(t, stack, func(t *testing.T, s site) {
				leave(t, s)
				s.eventuallyInFlight(0)
			})
		})
	}
}

// deaf upgrades a connection that the app then ignores.
func (s site) deaf() *net.TCPConn {
	s.t.Helper()
	conn := s.dial()
	_, err := fmt.Fprintf(conn, "GET /deaf HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", s.host())
	require.NoError(s.t, err)
	head := make([]byte, len("HTTP/1.1 101"))
	_, err = io.ReadFull(conn, head)
	require.NoError(s.t, err)
	require.Equal(s.t, "HTTP/1.1 101", string(head))
	s.eventuallyInFlight(1)
	return conn.(*net.TCPConn)
}

// deafHTTP2 does the same by an extended CONNECT (RFC 8441), on stream 1 of a connection of its own.
func (s site) deafHTTP2() *http2.Framer {
	s.t.Helper()
	conn := s.dial()
	_, err := io.WriteString(conn, http2.ClientPreface)
	require.NoError(s.t, err)
	framer := http2.NewFramer(conn, conn)
	require.NoError(s.t, framer.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "CONNECT"},
		{Name: ":protocol", Value: "websocket"},
		{Name: ":scheme", Value: "http"},
		{Name: ":authority", Value: s.host()},
		{Name: ":path", Value: "/deaf"},
		{Name: "sec-websocket-version", Value: "13"},
		{Name: "sec-websocket-key", Value: "AAAAAAAAAAAAAAAAAAAAAA=="},
	} {
		require.NoError(s.t, encoder.WriteField(field))
	}
	require.NoError(s.t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}))
	s.eventuallyInFlight(1)
	return framer
}

// An instance whose clients have all gone is not kept, and billed, until its drain's limit.
func TestUpgradesWhoseClientHasGoneKeepNoInstance(t *testing.T) {
	t.Parallel()
	stack := startSites(t, func(o *controlplanetest.Options) {
		for i := range o.Functions {
			o.Functions[i].Scaling.Min = 0
		}
	})
	eachKind(t, stack, func(t *testing.T, s site) {
		require.NoError(t, s.deaf().Close())
		s.Eventually("ended", func() error {
			if n := len(s.Instances(s.name)); n != 0 {
				return fmt.Errorf("%d instances", n)
			}
			return nil
		})
		require.Less(t, s.Function(s.name).Bill.BilledSeconds, 10.0, "a drain's limit is 30 s")
	})
}
