package relay

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
)

func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestStaleSocketsAreRemoved(t *testing.T) {
	dir := tempDir(t)
	require.NoError(t, os.Chmod(dir, 0o755))
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "web-0001.sock")})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.sock"), nil, 0o600))

	s, err := openSockets(dir)
	require.NoError(t, err)
	defer s.close()
	require.NoFileExists(t, filepath.Join(dir, "web-0001.sock"))
	require.FileExists(t, filepath.Join(dir, "notes.sock"), "only sockets are ours")
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestADirectoryHasOneRelay(t *testing.T) {
	b := newBed(t)
	config := Config{Address: "127.0.0.1:0", TLS: TLSOff, Dir: b.config.Dir, TunnelWait: time.Second, MaxConnections: 1, Key: token.NewKey()}
	log := logrus.New()
	log.SetOutput(io.Discard)
	_, err := New(config, b.events, log)
	require.ErrorIs(t, err, ErrDirInUse)
	require.ErrorContains(t, err, b.config.Dir)
}

func TestADirectoryWithALongPathIsRefused(t *testing.T) {
	_, err := openSockets(filepath.Join(tempDir(t), strings.Repeat("x", 60)))
	require.ErrorContains(t, err, "at most 56")
}

func TestSocketNames(t *testing.T) {
	require.Equal(t, "web-0007.sock", socketName("web/0007"))
	longest := strings.Repeat("f", 40) + "/9999"
	require.Equal(t, strings.Repeat("f", 40)+"-9999.sock", socketName(longest))
	seen := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`[a-z-]{1,5}/?[0-9]{1,4}`), rapid.String()).Draw(t, "endpoint")
		file := socketName(name)
		require.LessOrEqual(t, len(file), maxSocketName)
		require.Equal(t, file, filepath.Base(file))
		if other, ok := seen[file]; ok {
			require.Equal(t, other, name, "two endpoints share %s", file)
		}
		seen[file] = name
	})
}

// What Envoy has opened before a socket is closed is carried or answered like any other connection, accepted or not.
func TestNoConnectionIsResetWhenASocketIsClosed(t *testing.T) {
	s, err := openSockets(tempDir(t))
	require.NoError(t, err)
	defer s.close()
	l, err := s.listen("web/0001")
	require.NoError(t, err)
	var envoys []net.Conn
	for range 3 {
		envoy, err := net.Dial("unix", s.path("web/0001"))
		require.NoError(t, err)
		defer envoy.Close()
		envoys = append(envoys, envoy)
	}
	late := s.release("web/0001", l)
	require.Len(t, late, 3)
	_, err = net.Dial("unix", s.path("web/0001"))
	require.ErrorIs(t, err, os.ErrNotExist)
	for n, conn := range late {
		defer conn.Close()
		exchangeBoth(t, envoys[n], conn, "hello")
	}
	require.Empty(t, s.release("web/0001", l), "harmless twice")
}

func TestAnOldOwnerLeavesItsSuccessorsSocket(t *testing.T) {
	s, err := openSockets(tempDir(t))
	require.NoError(t, err)
	defer s.close()
	old, err := s.listen("web/0001")
	require.NoError(t, err)
	next, err := s.listen("web/0001")
	require.NoError(t, err)
	s.release("web/0001", old)
	c, err := net.Dial("unix", s.path("web/0001"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	s.release("web/0001", next)
	require.NoFileExists(t, s.path("web/0001"))
}
