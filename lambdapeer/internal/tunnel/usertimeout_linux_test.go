package tunnel

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
			require.Zero(t, limit(t, tcp))
			c.Doubt(1234 * time.Millisecond)
			require.Equal(t, 1234*time.Millisecond, limit(t, tcp))
		})
	}
}

func limit(t *testing.T, c net.Conn) time.Duration {
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var ms int
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) {
		ms, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
	}))
	require.NoError(t, failed)
	return time.Duration(ms) * time.Millisecond
}
