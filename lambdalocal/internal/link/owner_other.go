//go:build !linux

package link

import "net"

// identifies says that identify does not work.
const identifies = false

func identify(net.Addr, []Environment, []*conn) {}
