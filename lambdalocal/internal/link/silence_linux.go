package link

import (
	"net"

	"golang.org/x/sys/unix"
)

// silence lets nothing that arrives reach the socket, not even for an acknowledgement, and sends no probe of its own: to
// the other end's kernel the network is gone. What this kernel has to send again it still sends.
func silence(c *net.TCPConn) {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0} // accept 0 bytes of every packet
	_ = c.SetKeepAlive(false)
	control(c, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
	})
}

// hear ends a silence.
func hear(c *net.TCPConn) {
	control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) })
	_ = c.SetKeepAliveConfig(whileHeard)
}

// control does nothing to a socket that is closed. No other error is possible: any process may filter its own sockets.
func control(c *net.TCPConn, change func(fd int) error) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = change(int(fd)) })
	}
}
