package relay

import (
	"errors"
	"net"
	"syscall"
	"time"
)

const tcpUserTimeout = 0x12 // TCP_USER_TIMEOUT, which package syscall lacks

// setUserTimeout makes the kernel end a connection on which sent data, or a keepalive probe, stays unanswered for d.
func setUserTimeout(c *net.TCPConn, d time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
	})
	return errors.Join(err, failed)
}

// hungUp tells whether the other end of a unix socket is gone, rather than only done sending. Nothing is sent.
func hungUp(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.Sendto(int(fd), nil, syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT, nil)
	})
	return err != nil || errors.Is(failed, syscall.EPIPE) || errors.Is(failed, syscall.ECONNRESET)
}
