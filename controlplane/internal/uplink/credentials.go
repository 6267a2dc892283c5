package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Credentials are those of unix sockets: each end learns from the kernel whose process the other is. They encrypt nothing.
// A server lets everybody in, and its services ask; a client refuses a server of another user than its own or root.
func Credentials() credentials.TransportCredentials { return socketCredentials{} }

type socketCredentials struct{}

// An identity is what the kernel says of the other end.
type identity struct {
	credentials.CommonAuthInfo
	user int // noUser: it does not say
}

const noUser = -1

// AuthType implements credentials.AuthInfo.
func (identity) AuthType() string { return "unix" }

func (i identity) check() error {
	if i.user == os.Geteuid() || i.user == 0 {
		return nil
	}
	return fmt.Errorf("its process belongs to user %d", i.user)
}

func identify(conn net.Conn) (identity, error) {
	i := identity{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}, user: noUser}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return i, nil
	}
	user, err := userOf(unix)
	if err != nil {
		return i, fmt.Errorf("whose process the other end is: %w", err)
	}
	i.user = user
	return i, nil
}

func (socketCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	i, err := identify(conn)
	return conn, i, err
}

func (socketCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	i, err := identify(conn)
	if err == nil {
		err = i.check()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("control plane: %w", err)
	}
	return conn, i, nil
}

func (socketCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

func (c socketCredentials) Clone() credentials.TransportCredentials { return c }

func (socketCredentials) OverrideServerName(string) error { return nil }

// mayAttach lets relays of this process's user or root attach, and nobody who came another way than by a unix socket.
func mayAttach(ctx context.Context) error {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return errors.New("nothing is known of the relay's end")
	}
	i, ok := p.AuthInfo.(identity)
	if !ok {
		return errors.New("relays attach by a unix socket")
	}
	if err := i.check(); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}
