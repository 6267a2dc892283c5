package trust_test

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
)

const healthService = "grpc.health.v1.Health"

// serve serves health to whom the services let, and returns where.
func serve(t *testing.T, network, address string, as credentials.TransportCredentials, services trust.Services) string {
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	server := grpc.NewServer(append(services.Options(), grpc.Creds(as))...)
	healthv1.RegisterHealthServer(server, health.NewServer())
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Stop()
		served.Wait()
	})
	return l.Addr().String()
}

// call asks for health, both ways that there are.
func call(t *testing.T, network, address string, as credentials.TransportCredentials) error {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(as),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}))
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client := healthv1.NewHealthClient(conn)
	_, err = client.Check(ctx, &healthv1.HealthCheckRequest{})
	stream, watchErr := client.Watch(ctx, &healthv1.HealthCheckRequest{})
	if watchErr == nil {
		_, watchErr = stream.Recv()
	}
	require.Equal(t, status.Code(err), status.Code(watchErr))
	return err
}

func part(t *testing.T, role identity.Role) identity.Source {
	s, err := identity.NewSelf(identity.ID{Domain: identity.Domain, Role: role, Name: "x"}, identity.Secrets{[]byte("a secret of a cell that is long enough")})
	require.NoError(t, err)
	return s.Get
}

// Who may connect may not therefore ask for everything.
func TestARoleAsksForWhatIsItsOwnAlone(t *testing.T) {
	plane := trust.Server(part(t, identity.Control), unheard, identity.Envoy, identity.Relay)
	for role, want := range map[identity.Role]codes.Code{identity.Relay: codes.OK, identity.Envoy: codes.PermissionDenied} {
		address := serve(t, "tcp", "127.0.0.1:0", plane, trust.Services{healthService: {identity.Relay}})
		err := call(t, "tcp", address, trust.Client(part(t, role)))
		require.Equal(t, want, status.Code(err), "%v", err)
		if want != codes.OK {
			require.ErrorContains(t, err, "spiffe://lambda-dispatch/envoy/x may not")
		}
	}
	address := serve(t, "tcp", "127.0.0.1:0", plane, trust.Services{})
	require.Equal(t, codes.PermissionDenied, status.Code(call(t, "tcp", address, trust.Client(part(t, identity.Relay)))))
}

func unheard(net.Addr, error) {}

// The other end hears no more than that a connection broke off, so the control plane says why. It says nothing of connections that bring no
// certificate, as those of load balancers.
func TestWhoseCertificateIsNotAcceptedIsTold(t *testing.T) {
	secret := identity.Secrets{[]byte("a secret of a cell that is long enough")}
	authorities, err := identity.Authorities(secret)
	require.NoError(t, err)
	told := make(chan error, 10)
	plane := trust.Server(part(t, identity.Control), func(_ net.Addr, err error) { told <- err }, identity.Relay)
	address := serve(t, "tcp", "127.0.0.1:0", plane, trust.Services{healthService: {identity.Relay}})
	for issued, says := range map[time.Duration]string{-2 * time.Hour: "has expired", 2 * time.Hour: "not yet valid"} {
		pair, err := authorities[0].Issue(identity.ID{Domain: identity.Domain, Role: identity.Relay, Name: "edge"}, time.Now().Add(issued), time.Hour)
		require.NoError(t, err)
		m, err := identity.NewMaterial(identity.Domain, identity.Relay, pair, identity.CA(authorities))
		require.NoError(t, err)
		silent, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, silent.Close())
		requireRefused(t, address, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true})
		requireRefused(t, address, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true})
		require.Error(t, call(t, "tcp", address, trust.Client(func() identity.Material { return m })))
		why := <-told
		require.ErrorContains(t, why, "/relay/edge")
		require.ErrorContains(t, why, says)
	}
}

// requireRefused dials as who has no certificate, and returns when the server has refused that.
func requireRefused(t *testing.T, address string, as *tls.Config) {
	conn, err := tls.Dial("tcp", address, as)
	if err == nil { // in TLS 1.3 the client is done before the server has judged it
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorContains(t, err, "remote error: tls")
}

func TestAControlPlaneDoesNotDialAnother(t *testing.T) {
	plane := trust.Server(part(t, identity.Control), unheard, identity.Envoy, identity.Relay)
	address := serve(t, "tcp", "127.0.0.1:0", plane, trust.Services{healthService: {identity.Relay}})
	require.Equal(t, codes.Unavailable, status.Code(call(t, "tcp", address, trust.Client(part(t, identity.Control)))))
}

func TestTheSameUserMayHaveAnyRoleOnItsHost(t *testing.T) {
	services := trust.Services{healthService: {identity.Relay}}
	socket := serve(t, "unix", filepath.Join(t.TempDir(), "s"), trust.Socket(), services)
	require.NoError(t, call(t, "unix", socket, trust.Socket()))
	address := serve(t, "tcp", "127.0.0.1:0", trust.Loopback(), services)
	require.NoError(t, call(t, "tcp", address, trust.Loopback()))
	none := serve(t, "tcp", "127.0.0.1:0", trust.Loopback(), trust.Services{})
	require.Equal(t, codes.PermissionDenied, status.Code(call(t, "tcp", none, trust.Loopback())))
}

func TestNothingIsAllowedToWhoIsNotKnown(t *testing.T) {
	require.Equal(t, codes.PermissionDenied, status.Code(trust.Allow(context.Background(), identity.Relay)))
}
