package environment

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A port is free again although another process, one that is being started, has the socket still.
func TestAPortIsFreeAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	other, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	defer other.Close()
	hangUp(l)
	require.NoError(t, l.Close())
	again, err := net.Listen("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, again.Close())
}
