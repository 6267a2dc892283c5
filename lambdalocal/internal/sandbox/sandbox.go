// Package sandbox gives each environment surroundings of its own on one machine: a network namespace, in which its loopback is
// nobody else's, and a mount namespace with /var/task, /opt and /tmp as Lambda has them. Whatever the environment dials that
// does not listen inside leaves through a Gateway. Where the kernel does not permit that Open says why.
package sandbox

import (
	"context"
	"net"
	"net/netip"

	"github.com/sirupsen/logrus"
)

// Where things are in a sandbox.
const (
	TaskRoot = "/var/task" // the function's folder, read-only
	Layers   = "/opt"
	// RuntimeAPI is the address of the Runtime API. It is not on 127.0.0.1, where the machine's own servers are dialled.
	RuntimeAPI = "169.254.100.1:9001"
)

// A Spec says what an environment sees of the machine, beside all that is not said here.
type Spec struct {
	Task    string   // becomes TaskRoot
	Layers  []string // folders that are laid over the machine's Layers, the later ones above
	Shared  []string // existing files and folders in /tmp that stay the machine's
	TempMB  int      // the size of /tmp
	Gateway Gateway  // for what leaves
}

// A Gateway takes what processes in a sandbox sent to an address that is not inside.
type Gateway interface {
	// Connection takes a connection, which seems to come from the address that was dialled. It returns when the connection has
	// ended, which the end of ctx brings about.
	Connection(ctx context.Context, from *net.TCPConn, to netip.AddrPort)
	// Datagrams connects to an address by UDP.
	Datagrams(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// A Log takes what is odd.
type Log = logrus.FieldLogger
