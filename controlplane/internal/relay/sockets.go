package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
)

// Limits of socket paths, in bytes. The kernel's sockaddr_un has room for maxSocketPath and a final zero.
const (
	maxSocketPath = 107
	maxSocketName = 50
	socketSuffix  = ".sock"
)

// ErrDirInUse says that another process has its sockets in the directory.
var ErrDirInUse = errors.New("another relay uses this directory")

// sockets is the directory in which endpoints' sockets come and go. It belongs to one process at a time.
type sockets struct {
	dir  string
	lock *os.File // of the directory itself, so that no lock file is left behind

	mu    sync.Mutex
	owner map[string]*net.UnixListener // by path, because the end of an old owner must not unlink its successor's socket
}

// openSockets locks the directory, creates it if it is missing, and removes sockets that a dead process has left.
func openSockets(dir string) (*sockets, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if limit := maxSocketPath - maxSocketName - 1; len(dir) > limit {
		return nil, fmt.Errorf("socket directory %s: its path has %d bytes, but at most %d leave room for the names of sockets", dir, len(dir), limit)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("socket directory: %w", err)
	}
	s := &sockets{dir: dir, owner: make(map[string]*net.UnixListener)}
	if err := s.possess(); err != nil {
		return nil, fmt.Errorf("socket directory %s: %w", dir, err)
	}
	return s, nil
}

func (s *sockets) possess() error {
	lock, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	s.lock = lock
	if err = flock(lock); err == nil {
		err = os.Chmod(s.dir, 0o700) // MkdirAll leaves an existing directory as open as it was
	}
	if err == nil {
		err = s.removeStale()
	}
	if err != nil {
		_ = lock.Close()
	}
	return err
}

func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrDirInUse
	}
	return err
}

func (s *sockets) removeStale() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeSocket == 0 || !strings.HasSuffix(e.Name(), socketSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// path returns the socket of an endpoint.
func (s *sockets) path(endpoint string) string { return SocketPath(s.dir, endpoint) }

// SocketPath is the path of an endpoint's socket in a relay's directory.
func SocketPath(dir, endpoint string) string { return filepath.Join(dir, socketName(endpoint)) }

// listen binds the endpoint's socket. A former owner loses it.
func (s *sockets) listen(endpoint string) (*net.UnixListener, error) {
	path := s.path(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.owner[path]; old != nil {
		_ = old.Close()
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil { // until then the directory's mode protects it
		_ = l.Close()
		return nil, err
	}
	s.owner[path] = l
	return l, nil
}

// release closes a listener. It removes the path first, so that a connect fails instead of hanging in a backlog that is never
// accepted. Envoy may retry a failed connect elsewhere. It returns the connections that were in the backlog, which the kernel would
// reset.
func (s *sockets) release(endpoint string, l *net.UnixListener) (late []*net.UnixConn) {
	path := s.path(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner[path] == l {
		_ = os.Remove(path)
		delete(s.owner, path)
	}
	late = backlog(l)
	_ = l.Close()
	return late
}

// backlog accepts what can be accepted without waiting.
func backlog(l *net.UnixListener) (conns []*net.UnixConn) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(listener uintptr) {
		syscall.ForkLock.RLock() // no child gets the connections
		defer syscall.ForkLock.RUnlock()
		for {
			fd, _, err := syscall.Accept(int(listener))
			if err != nil {
				return
			}
			syscall.CloseOnExec(fd)
			file := os.NewFile(uintptr(fd), "")
			conn, err := net.FileConn(file) // a duplicate
			_ = file.Close()
			if err == nil {
				conns = append(conns, conn.(*net.UnixConn))
			}
		}
	})
	return conns
}

// close unlocks the directory. All listeners must have been released.
func (s *sockets) close() { _ = s.lock.Close() }

var plainEndpoint = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*/[0-9]+$`)

// socketName returns a file name of at most maxSocketName bytes: web/0007 becomes web-0007.sock. A name of another form, or a
// longer one, becomes a digest, so that no two names share a file and none leads out of the directory.
func socketName(endpoint string) string {
	if plainEndpoint.MatchString(endpoint) && len(endpoint)+len(socketSuffix) <= maxSocketName {
		return strings.Replace(endpoint, "/", "-", 1) + socketSuffix
	}
	digest := sha256.Sum256([]byte(endpoint))
	return "_" + hex.EncodeToString(digest[:16]) + socketSuffix
}
