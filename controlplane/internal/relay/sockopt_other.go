//go:build !linux

package relay

import (
	"net"
	"time"
)

// setUserTimeout is for Linux; elsewhere keepalive alone finds silent peers.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// roundTrip is for Linux; elsewhere nobody measures it.
func roundTrip(*net.TCPConn) time.Duration { return 0 }

// hungUp is for Linux; elsewhere an end of sending is taken as only that, and the write after it finds out.
func hungUp(*net.UnixConn) bool { return false }

// unsent is for Linux; elsewhere nobody tells.
func unsent(*net.TCPConn) int { return 0 }

func maxDescriptors() int { return 0 }
