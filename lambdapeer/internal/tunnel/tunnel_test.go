package tunnel_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/tunnel"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// answering listens on loopback, and sends answer to whoever connects once the request's header has come.
func answering(t testing.TB, answer string) wire.Relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return wire.Relay{Address: listener.Addr().String()}
}

func dial(t testing.TB, relay wire.Relay) (*tunnel.Conn, error) {
	d, err := tunnel.NewDialer(relay, relaytest.Token, nil, new(tunnel.Traffic))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return d.Dial(ctx, wire.TunnelPath)
}

const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lambda-dispatch/1\r\n\r\n"

func TestBytesBehindThe101AreKept(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	conn, err := dial(t, answering(t, switched+"PRI * HTTP/2.0"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Await())
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "PRI * HTTP/2.0", string(all))
	require.ErrorIs(t, conn.Await(), io.EOF)
}

func TestRefusalsSayWhy(t *testing.T) {
	tests := []struct {
		answer, want string
		permanent    bool
	}{
		{"401 X\r\nContent-Length: 7\r\n\r\nexpired", "answered 401 Unauthorized: expired", true},
		{"426 X\r\nContent-Length: 2\r\n\r\nv2", "answered 426 Upgrade Required: v2", true},
		{"408 X\r\n\r\nslow", "answered 408 Request Timeout: slow", false},
		{"409 X\r\n\r\ntaken", "answered 409 Conflict: taken", false},
		{"503 X\r\n\r\n" + strings.Repeat("x", 5000), "answered 503 Service Unavailable: xxx", false},
	}
	for _, tt := range tests {
		_, err := dial(t, answering(t, "HTTP/1.1 "+tt.answer))
		require.ErrorContains(t, err, tt.want)
		require.Less(t, len(err.Error()), 2000)
		var refused *tunnel.RefusedError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, tt.permanent, refused.Permanent())
	}
}

func TestStrangeAnswersAreErrors(t *testing.T) {
	for answer, want := range map[string]string{
		"":                       "handshake: unexpected EOF",
		"SSH-2.0-OpenSSH\r\n":    "handshake: malformed HTTP response",
		"HTTP/1.1 101 X\r\n\r\n": `relay speaks "", this end speaks "lambda-dispatch/1"`,
		"HTTP/1.1 101 X\r\nUpgrade: lambda-dispatch/2\r\n\r\n":         `relay speaks "lambda-dispatch/2"`,
		"HTTP/1.1 101 X\r\nA: " + strings.Repeat("x", 20<<10) + "\r\n": "handshake: ",
	} {
		_, err := dial(t, answering(t, answer))
		require.ErrorContains(t, err, want)
	}
}

func TestTrafficIsCountedAndCloseIsOnce(t *testing.T) {
	relay := relaytest.StartTLS(t)
	var traffic tunnel.Traffic
	d, err := tunnel.NewDialer(relay.Wire(), relaytest.Token, nil, &traffic)
	require.NoError(t, err)
	conn, err := d.Dial(t.Context(), wire.TunnelPath)
	require.NoError(t, err)
	other, err := relay.Tunnel(t.Context())
	require.NoError(t, err)
	closed := 0
	conn.OnClose(func() { closed++ })
	_, err = conn.Write([]byte("12345"))
	require.NoError(t, err)
	_, err = other.Write([]byte("123"))
	require.NoError(t, err)
	require.NoError(t, conn.Await())
	_, err = io.ReadFull(conn, make([]byte, 3))
	require.NoError(t, err)
	require.EqualValues(t, 3, traffic.In.Load())
	require.EqualValues(t, 5, traffic.Out.Load())
	require.NoError(t, conn.CloseWrite())
	conn.Close()
	conn.Close()
	require.Equal(t, 1, closed)
}

func FuzzHandshakeAnswer(f *testing.F) {
	f.Add(switched + "x")
	f.Add("HTTP/1.1 401 X\r\nContent-Length: 3\r\n\r\nno")
	f.Add("HTTP/1.1 101 X\r\nTransfer-Encoding: chunked\r\nUpgrade: lambda-dispatch/1\r\n\r\n5\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		conn, err := dial(t, answering(t, answer))
		if err == nil {
			_ = conn.Await()
			conn.Close()
		}
	})
}

// What is known of a relay that was dialled: whoever is told to wait for it relies on this.
func TestWhetherARelayIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		relay           func() wire.Relay
		alive, answered bool
	}{
		"answers":         {func() wire.Relay { return answering(t, switched) }, true, true},
		"refuses upgrade": {func() wire.Relay { return answering(t, "HTTP/1.1 503 X\r\n\r\n") }, true, false},
		"refuses to connect": {func() wire.Relay {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			return wire.Relay{Address: listener.Addr().String()}
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := tunnel.NewDialer(c.relay(), relaytest.Token, nil, new(tunnel.Traffic))
			require.NoError(t, err)
			require.False(t, d.Alive() || d.Answered())
			if conn, err := d.Dial(t.Context(), wire.TunnelPath); err == nil {
				require.NoError(t, conn.Close())
			}
			require.Equal(t, c.alive, d.Alive())
			require.Equal(t, c.answered, d.Answered())
		})
	}
}
