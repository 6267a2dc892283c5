package dev

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
)

// Several that begin in the same instant choose before the parts of any listen: each would be told of the others' status page.
func TestNoTwoThatBeginAtOnceChooseTheSamePort(t *testing.T) {
	chosen := map[string]bool{}
	for range 4 {
		var held local.Ports
		defer held.Release()
		p, err := choosePlaces(&held, "")
		require.NoError(t, err)
		for _, address := range []string{p.front, p.admin, p.lambda, p.relay, p.envoyAdmin} {
			_, port, err := net.SplitHostPort(address)
			require.NoError(t, err)
			require.NotContains(t, chosen, port)
			chosen[port] = true
		}
	}
}

// What is given free may be had again, and a part may listen on what is held.
func TestAPortIsHeldForItsPartOnly(t *testing.T) {
	var held, other local.Ports
	defer other.Release()
	first, err := chooseFront(&held, "127.0.0.1:0")
	require.NoError(t, err)
	l, err := net.Listen("tcp", first)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = chooseFront(&other, first)
	require.ErrorContains(t, err, "--front: port ")
	require.ErrorContains(t, err, " is in use; without --front a free one is chosen")
	held.Release()
	_, err = chooseFront(&other, first)
	require.NoError(t, err)
}

// A folder for temporary files whose path is long is no reason to fail.
func TestTheFolderOfSocketsIsShort(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 12))
	require.NoError(t, os.Mkdir(long, 0o700))
	for _, temporary := range []string{"/tmp", long} {
		t.Setenv("TMPDIR", temporary)
		dir, err := local.MakeDir()
		require.NoError(t, err)
		require.NoError(t, os.Remove(dir))
		require.LessOrEqual(t, len(dir), config.MaxStateDir)
	}
	left, err := os.ReadDir(long)
	require.NoError(t, err)
	require.Empty(t, left)
}
