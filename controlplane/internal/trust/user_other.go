//go:build !linux

package trust

import (
	"net"
	"os"
)

// userOf takes the other end for one of ours: the socket lies in a directory that only we may enter.
func userOf(*net.UnixConn) (int, error) { return os.Geteuid(), nil }
