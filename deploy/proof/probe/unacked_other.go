//go:build !linux

package main

import "net"

// unacked is not known here: the witness runs on Linux.
func unacked(*net.TCPConn) uint32 { return 0 }
