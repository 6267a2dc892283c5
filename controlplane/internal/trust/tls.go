package trust

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"google.golang.org/grpc/credentials"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
)

// Server is the credentials of a control plane beyond its host: parts of these roles may connect. refused is told whose certificate was
// not accepted, and why; any goroutine may call it.
func Server(source identity.Source, refused func(remote net.Addr, err error), by ...identity.Role) credentials.TransportCredentials {
	return mutual{credentials.NewTLS(source.Server(by...)), source, refused}
}

// Client is the credentials of who dials a control plane beyond its host.
func Client(source identity.Source) credentials.TransportCredentials {
	return mutual{credentials.NewTLS(source.Client(identity.Control)), source, func(net.Addr, error) {}}
}

// mutual is TLS in which both ends are known by certificate.
type mutual struct {
	credentials.TransportCredentials
	source  identity.Source
	refused func(remote net.Addr, err error)
}

// ServerHandshake implements credentials.TransportCredentials.
func (m mutual) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	remote := conn.RemoteAddr()
	secure, info, err := m.TransportCredentials.ServerHandshake(conn)
	if errors.As(err, new(*identity.CertificateError)) { // others are of load balancers and scanners, which show none
		m.refused(remote, err)
	}
	return m.named(secure, info, err)
}

// ClientHandshake implements credentials.TransportCredentials.
func (m mutual) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return m.named(m.TransportCredentials.ClientHandshake(ctx, authority, conn))
}

// named reads once for each connection what the certificate says, which the handshake has checked.
func (m mutual) named(conn net.Conn, info credentials.AuthInfo, err error) (net.Conn, credentials.AuthInfo, error) {
	if err != nil {
		return conn, info, err
	}
	state := info.(credentials.TLSInfo).State
	id, err := identity.Of(state.PeerCertificates[0], m.source().ID.Domain)
	return conn, Caller{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, ID: id}, err
}

// Clone implements credentials.TransportCredentials.
func (m mutual) Clone() credentials.TransportCredentials {
	return mutual{m.TransportCredentials.Clone(), m.source, m.refused}
}

// Loopback is the credentials of TCP within one host, without TLS: whoever is on the host may call.
func Loopback() credentials.TransportCredentials { return loopback{} }

type loopback struct{ socket }

func local(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err == nil && !remote.Addr().Unmap().IsLoopback() {
		err = fmt.Errorf("%s is beyond this host, and without TLS", remote)
	}
	return conn, Caller{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}, err
}

// ServerHandshake implements credentials.TransportCredentials.
func (loopback) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return local(conn)
}

// ClientHandshake implements credentials.TransportCredentials.
func (loopback) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return local(conn)
}

// Info implements credentials.TransportCredentials.
func (loopback) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "loopback"}
}

// Clone implements credentials.TransportCredentials.
func (l loopback) Clone() credentials.TransportCredentials { return l }
