package relay

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// roundTrip bounds the round-trip time of c by the kernel's measurements, as TCP's retransmission timeout does (RFC 6298); 0: not
// known.
func roundTrip(c *net.TCPConn) time.Duration {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var info *unix.TCPInfo
	err = raw.Control(func(fd uintptr) { info, _ = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil || info == nil {
		return 0
	}
	return time.Duration(info.Rtt+4*info.Rttvar) * time.Microsecond
}

// hungUp tells whether the other end of a unix socket is closed, and has not only stopped sending. It sends nothing.
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

// unsent is how many bytes the other end has not acknowledged; 0 also if that is not known.
func unsent(c *net.TCPConn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// maxDescriptors is how many file descriptors the process may have open; 0: not known.
func maxDescriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}
