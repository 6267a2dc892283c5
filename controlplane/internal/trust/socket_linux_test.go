package trust_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
)

const anotherUser = 65534

// asAnotherUser runs something in a thread of another user, which ends with it.
func asAnotherUser(do func() (net.Conn, error)) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, anotherUser, anotherUser, anotherUser); errno != 0 {
			err = errno
			return
		}
		conn, err = do()
	}()
	<-done
	return conn, err
}

// The mode of a socket is one guard, the kernel's word on who has connected is another.
func TestAnotherUserOfTheHostMayAskForNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	socket := serve(t, "unix", filepath.Join(dir, "s"), trust.Socket(), trust.Services{healthService: {identity.Relay}})
	require.NoError(t, os.Chmod(socket, 0o777))
	client, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			return asAnotherUser(func() (net.Conn, error) { return net.Dial("unix", socket) })
		}))
	require.NoError(t, err)
	defer client.Close()
	_, err = healthv1.NewHealthClient(client).Check(t.Context(), &healthv1.HealthCheckRequest{})
	require.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
	require.ErrorContains(t, err, "user 65534")
}
