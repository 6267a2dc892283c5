package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacked is how many segments the other end has not acknowledged.
func unacked(conn *net.TCPConn) (n uint32) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Unacked
		}
	})
	return n
}
