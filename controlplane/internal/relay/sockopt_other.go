//go:build !linux

package relay

import (
	"net"
	"time"
)

// setUserTimeout works on Linux only. Elsewhere only keepalive finds silent peers.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// roundTrip works on Linux only. Elsewhere it is not known.
func roundTrip(*net.TCPConn) time.Duration { return 0 }

// hungUp works on Linux only. Elsewhere the next write finds out.
func hungUp(*net.UnixConn) bool { return false }

// unsent works on Linux only. Elsewhere it is not known.
func unsent(*net.TCPConn) int { return 0 }

func maxDescriptors() int { return 0 }
