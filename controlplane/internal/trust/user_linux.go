package trust

import (
	"net"
	"syscall"
)

// userOf asks the kernel whose process the other end of a connection was when that began.
func userOf(conn *net.UnixConn) (user int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return noUser, err
	}
	var peer *syscall.Ucred
	if controlErr := raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); controlErr != nil {
		return noUser, controlErr
	}
	if err != nil {
		return noUser, err
	}
	return int(peer.Uid), nil
}
