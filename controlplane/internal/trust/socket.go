package trust

import (
	"context"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc/credentials"
)

// Socket is the credentials of unix sockets: each end learns from the kernel whose process the other is. They encrypt nothing. A
// client refuses a server of another user than its own or root; a server refuses calls of such clients.
func Socket() credentials.TransportCredentials { return socket{} }

type socket struct{}

const noUser = -1

func identify(conn net.Conn) (Caller, error) {
	c := Caller{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return c, fmt.Errorf("not a unix socket: %s", conn.RemoteAddr())
	}
	user, err := userOf(unix)
	if err != nil {
		return c, fmt.Errorf("whose process the other end is: %w", err)
	}
	if user != os.Geteuid() && user != 0 {
		c.refusal = fmt.Sprintf("its process belongs to user %d, and this one to %d", user, os.Geteuid())
	}
	return c, nil
}

// ServerHandshake implements credentials.TransportCredentials.
func (socket) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, err := identify(conn)
	return conn, c, err
}

// ClientHandshake implements credentials.TransportCredentials.
func (socket) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, err := identify(conn)
	if err == nil && c.refusal != "" {
		err = fmt.Errorf("control plane: %s", c.refusal)
	}
	return conn, c, err
}

// Info implements credentials.TransportCredentials.
func (socket) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

// Clone implements credentials.TransportCredentials.
func (s socket) Clone() credentials.TransportCredentials { return s }

// OverrideServerName implements credentials.TransportCredentials.
func (socket) OverrideServerName(string) error { return nil }
