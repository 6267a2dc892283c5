package sandbox_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/gateway"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/sandbox"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/thread"
)

const soon = 10 * time.Second

func open(t testing.TB) *sandbox.Host {
	h, err := sandbox.Open()
	if err != nil {
		t.Skipf("this machine does not permit sandboxes: %v", err)
	}
	t.Cleanup(h.Close)
	return h
}

func outward() sandbox.Gateway {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return gateway.Gateway{Log: log, Intercept: func(netip.AddrPort) func(context.Context, *net.TCPConn) { return nil }}
}

func enclose(t testing.TB, h *sandbox.Host, s sandbox.Spec) *sandbox.Sandbox {
	s.TempMB, s.Gateway = 8, outward()
	if s.Task == "" {
		s.Task = t.TempDir()
	}
	b, err := h.New(s)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// echo is a server of the machine.
func echo(t testing.TB, address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("no %s here: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	return l
}

func requireEcho(t testing.TB, b *sandbox.Sandbox, address string) {
	t.Helper()
	conn, err := b.Dial(t.Context(), address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	_, err = conn.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	back, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "hello", string(back))
}

// Servers of the machine are reached from inside at the address that they have, by IPv4 and IPv6, those that began before the
// sandbox did and those after.
func TestTheMachinesServersAreReached(t *testing.T) {
	h := open(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		t.Run(address, func(t *testing.T) {
			before := echo(t, address)
			b := enclose(t, h, sandbox.Spec{})
			_, port, err := net.SplitHostPort(before.Addr().String())
			require.NoError(t, err)
			host, _, err := net.SplitHostPort(address)
			require.NoError(t, err)
			if host == "0.0.0.0" {
				host = "127.0.0.1"
			}
			requireEcho(t, b, net.JoinHostPort(host, port))
			after := echo(t, address).Addr().(*net.TCPAddr)
			at := net.JoinHostPort(host, after.AddrPort().String()[len(after.AddrPort().Addr().String())+1:])
			if after.IP.To4() == nil {
				at = after.String()
			}
			require.Eventually(t, func() bool {
				conn, err := b.Dial(t.Context(), at)
				return err == nil && conn.Close() == nil
			}, soon, time.Millisecond)
			requireEcho(t, b, at)
		})
	}
}

// Two sandboxes listen on one port of one address; who dials it reaches the own one, and where nobody listens, on the machine
// neither, is refused.
func TestEachHasALoopbackOfItsOwn(t *testing.T) {
	h := open(t)
	outside := echo(t, "127.0.0.1:0").Addr().String()
	var all []*sandbox.Sandbox
	for range 2 {
		b := enclose(t, h, sandbox.Spec{})
		all = append(all, b)
		l, err := b.Listen(outside)
		require.NoError(t, err)
		defer l.Close()
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				_, _ = io.WriteString(conn, "inside")
				_ = conn.Close()
			}
		}()
	}
	for _, b := range all {
		conn, err := b.Dial(t.Context(), outside)
		require.NoError(t, err)
		text, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "inside", string(text))
		require.NoError(t, conn.Close())
		_, err = b.Dial(t.Context(), "127.0.0.1:1")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

// What is asked on port 53, at whatever address, is answered by who listens there outside.
func TestDatagramsLeave(t *testing.T) {
	h := open(t)
	server, err := net.ListenPacket("udp", "127.0.0.77:53")
	if err != nil {
		t.Skip(err)
	}
	defer server.Close()
	go func() {
		buffer := make([]byte, 100)
		for n, from, err := server.ReadFrom(buffer); err == nil; n, from, err = server.ReadFrom(buffer) {
			_, _ = server.WriteTo(buffer[:n], from)
		}
	}()
	b := enclose(t, h, sandbox.Spec{})
	for range 2 {
		within(t, b, func() {
			conn, err := net.Dial("udp", "127.0.0.77:53")
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
			for _, text := range []string{"one", "two"} {
				_, err = conn.Write([]byte(text))
				require.NoError(t, err)
				buffer := make([]byte, 100)
				n, err := conn.Read(buffer)
				require.NoError(t, err)
				require.Equal(t, text, string(buffer[:n]))
			}
		})
	}
}

// A connection that the machine's server resets is reset inside.
func TestAResetPassesTheGateway(t *testing.T) {
	h := open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	b := enclose(t, h, sandbox.Spec{})
	inside, err := b.Dial(t.Context(), l.Addr().String())
	require.NoError(t, err)
	defer inside.Close()
	outside, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, outside.(*net.TCPConn).SetLinger(0))
	require.NoError(t, outside.Close())
	_, err = inside.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// The folder of the function is read-only, /tmp is empty and limited, layers lie over /opt, and what is shared is the machine's.
func TestFiles(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")      // which is what an environment has of its own
	t.Setenv("TMPDIR", t.TempDir()) // where nobody else leaves anything
	h := open(t)
	task, under, over, together := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		task + "/code": "code", under + "/a": "under", under + "/b": "under", over + "/b": "over", together + "/c": "machine",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	b := enclose(t, h, sandbox.Spec{Task: task, Layers: []string{under, over}, Shared: []string{together}})
	within(t, b, func() {
		read := func(path string) string {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			return string(text)
		}
		require.Equal(t, "code", read("/var/task/code"))
		require.ErrorIs(t, os.WriteFile("/var/task/x", nil, 0o600), syscall.EROFS)
		require.Equal(t, "under", read("/opt/a"))
		require.Equal(t, "over", read("/opt/b"))
		require.ErrorIs(t, os.WriteFile("/opt/x", nil, 0o600), syscall.EROFS)
		require.Equal(t, "machine", read(together+"/c"))
		require.NoError(t, os.WriteFile(together+"/d", []byte("inside"), 0o600))
		require.NoFileExists(t, under+"/a")
		require.NoError(t, os.WriteFile("/tmp/small", make([]byte, 1<<20), 0o600))
		require.ErrorIs(t, os.WriteFile("/tmp/large", make([]byte, 8<<20), 0o600), syscall.ENOSPC)
		require.Contains(t, read("/etc/hosts"), "sandbox.localdomain")
	})
	within(t, enclose(t, h, sandbox.Spec{Task: task}), func() {
		require.ErrorIs(t, os.WriteFile("/opt/x", nil, 0o600), syscall.EROFS, "without layers it is the machine's")
	})
	require.FileExists(t, filepath.Join(together, "d"))
	require.NoFileExists(t, "/tmp/small")
	require.NoDirExists(t, "/var/task/code")
	left, err := filepath.Glob(os.TempDir() + "/lambdalocal-root-*")
	require.NoError(t, err)
	require.Empty(t, left)
}

// within runs do as a process of the sandbox would.
func within(t *testing.T, b *sandbox.Sandbox, do func()) {
	require.NoError(t, thread.Do(func() error {
		if err := b.Enter(); err != nil {
			return err
		}
		do()
		return nil
	}))
}

func TestWhatIsSharedOfTemp(t *testing.T) {
	folder, err := os.MkdirTemp("/tmp", "shared-")
	require.NoError(t, err)
	defer os.RemoveAll(folder)
	require.NoError(t, os.Mkdir(folder+"/sub", 0o700))
	file := folder + ".file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	defer os.Remove(file)
	for text, want := range map[string][]string{
		"": nil, "/tmp": nil, "/tmp/": nil, "/tmp/../etc": nil, "/tmp/no-such-thing/x": nil, "/usr/bin": nil,
		folder: {folder}, folder + "/new.file": {folder}, folder + "/sub/x/y": {folder + "/sub"}, file: {file},
		"--a=" + folder + "/sub:" + file: {folder + "/sub", file}, folder + " " + folder + "/sub/z": {folder},
	} {
		require.ElementsMatch(t, want, sandbox.SharedBy([]string{text}), text)
	}
}

// BenchmarkSandbox is what isolation adds to the start of an environment, and to its end.
func BenchmarkSandbox(b *testing.B) {
	h := open(b)
	task := b.TempDir()
	for b.Loop() {
		s, err := h.New(sandbox.Spec{Task: task, TempMB: 512})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkGateway is a request of one byte and its answer, through the gateway.
func BenchmarkGateway(b *testing.B) {
	server := echo(b, "127.0.0.1:0").Addr().String()
	conn, err := enclose(b, open(b), sandbox.Spec{}).Dial(b.Context(), server)
	require.NoError(b, err)
	defer conn.Close()
	buffer := make([]byte, 1)
	for b.Loop() {
		_, _ = conn.Write(buffer)
		_, _ = conn.Read(buffer)
	}
}
