//go:build !linux

package tunnel

import (
	"net"
	"time"
)

// setUserTimeout does nothing: only Linux has the option under this name, and functions run there.
func setUserTimeout(net.Conn, time.Duration) {}

// wasReset cannot tell here: reading and writing find out.
func wasReset(net.Conn) bool { return false }
