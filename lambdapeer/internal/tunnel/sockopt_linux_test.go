package tunnel

import (
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Finding out that a tunnel leads nowhere is the kernel's part; ours is to ask.
func TestDoubtReachesTheKernelThroughTLS(t *testing.T) {
	for name, secure := range map[string]func(net.Conn) net.Conn{
		"tcp": func(c net.Conn) net.Conn { return c },
		"tls": func(c net.Conn) net.Conn { return tls.Client(c, &tls.Config{ServerName: "relay"}) },
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			tcp, err := net.Dial("tcp", listener.Addr().String())
			require.NoError(t, err)
			defer tcp.Close()
			c := &Conn{conn: secure(tcp)}
			require.Zero(t, option(t, tcp, tcpUserTimeout))
			c.Doubt(1234 * time.Millisecond)
			require.Equal(t, 1234, option(t, tcp, tcpUserTimeout))
		})
	}
}

// A control stream finds the loss of its relay; what the tunnels carry may then wait for its return.
func TestTunnelsOutlastTheirControlStream(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "+wire.Protocol+"\r\nConnection: Upgrade\r\n\r\n")
		}
	}()
	d, err := NewDialer(wire.Relay{Address: listener.Addr().String()}, "token", nil, new(Traffic))
	require.NoError(t, err)
	noticedAfter := func(path string) (seconds int) {
		c, err := d.Dial(t.Context(), path)
		require.NoError(t, err)
		defer c.Close()
		return option(t, c.conn, syscall.TCP_KEEPIDLE) + option(t, c.conn, syscall.TCP_KEEPINTVL)*option(t, c.conn, syscall.TCP_KEEPCNT)
	}
	require.LessOrEqual(t, noticedAfter(wire.ControlPath), 4)
	require.GreaterOrEqual(t, noticedAfter(wire.TunnelPath), 6, "longer than a relay keeps tunnels for a lost peer")
}

func option(t *testing.T, c net.Conn, name int) (value int) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) {
		value, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, name)
	}))
	require.NoError(t, failed)
	return value
}
