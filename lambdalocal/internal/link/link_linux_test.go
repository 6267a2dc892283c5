package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// dialVariable makes this program a process that holds a connection to the address.
const dialVariable = "LINK_TEST_DIAL"

func TestMain(m *testing.M) {
	if address := os.Getenv(dialVariable); address != "" {
		hold(address)
	}
	goleak.VerifyTestMain(m)
}

// hold connects, says its process id, and repeats what it is sent until the connection ends.
func hold(address string) {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_, _ = fmt.Fprintln(conn, os.Getpid())
		_, _ = io.Copy(conn, conn)
	}
	os.Exit(0)
}

const patience = 20 * time.Second

// A wire is a link with the server behind it.
type wire struct {
	*Link
	t        *testing.T
	server   net.Listener
	accepted chan *net.TCPConn
}

func newWire(t *testing.T, environments ...Environment) *wire {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	log := logrus.New()
	log.SetOutput(io.Discard)
	l, err := New(Config{
		Listen: "127.0.0.1:0", To: server.Addr().String(), Log: log,
		Environments: func() []Environment { return environments },
	})
	require.NoError(t, err)
	w := &wire{Link: l, t: t, server: server, accepted: make(chan *net.TCPConn, 16)}
	ctx, cancel := context.WithCancel(context.Background())
	served, accepting := make(chan struct{}), make(chan struct{})
	go func() { defer close(served); l.Run(ctx) }()
	go func() {
		defer close(accepting)
		for conn, err := server.Accept(); err == nil; conn, err = server.Accept() {
			w.accepted <- conn.(*net.TCPConn)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-served
		_ = server.Close()
		<-accepting
	})
	return w
}

// pair connects through the link and returns both ends.
func (w *wire) pair() (client, server *net.TCPConn) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.Addr())
	require.NoError(w.t, err)
	client = conn.(*net.TCPConn)
	server = w.next()
	w.t.Cleanup(func() { _ = client.Close() })
	return client, server
}

func (w *wire) next() *net.TCPConn {
	w.t.Helper()
	select {
	case server := <-w.accepted:
		w.t.Cleanup(func() { _ = server.Close() })
		require.NoError(w.t, server.SetDeadline(time.Now().Add(patience)))
		return server
	case <-time.After(patience):
		require.Fail(w.t, "nobody dialled")
		return nil
	}
}

// passes fails the test unless a text gets through.
func passes(t *testing.T, to, from net.Conn) {
	t.Helper()
	text := time.Now().String()
	_, err := io.WriteString(from, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(to, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func works(t *testing.T, a, b net.Conn) {
	t.Helper()
	passes(t, a, b)
	passes(t, b, a)
}

// howItEnded is the error of a read, which waits for the end.
func howItEnded(t *testing.T, c *net.TCPConn) error {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, c)
	return err
}

func TestALinkIsTransparent(t *testing.T) {
	w := newWire(t)
	client, server := w.pair()
	works(t, client, server)
	go func() {
		_, _ = io.CopyN(client, zeros{}, 20<<20)
		_ = client.CloseWrite()
	}()
	n, err := io.Copy(io.Discard, server)
	require.NoError(t, err)
	require.EqualValues(t, 20<<20, n)
	passes(t, client, server) // the other direction is open still
	require.NoError(t, server.Close())
	require.NoError(t, howItEnded(t, client))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestLatencyIsAddedToEachDirection(t *testing.T) {
	const delay = 50 * time.Millisecond
	w := newWire(t)
	w.Apply([]Rule{{Latency: delay / 2}, {Latency: delay / 2}, {Selector: Selector{Function: "other"}, Latency: time.Hour}})
	client, server := w.pair()
	began := time.Now()
	works(t, client, server)
	require.GreaterOrEqual(t, time.Since(began), 2*delay)

	go func() { // as one piece after the other, not with a delay for each
		_, _ = io.CopyN(client, zeros{}, 100*chunkSize)
		_ = client.Close()
	}()
	n, err := io.Copy(io.Discard, server)
	require.NoError(t, err)
	require.EqualValues(t, 100*chunkSize, n)
}

func TestASilentLinkLosesNothing(t *testing.T) {
	w := newWire(t)
	client, server := w.pair()
	works(t, client, server)
	w.Apply([]Rule{{Silent: true}})
	_, err := client.Write([]byte("from the client"))
	require.NoError(t, err)
	_, err = server.Write([]byte("from the server"))
	require.NoError(t, err)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = server.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(patience)))
	w.Apply(nil)
	got := make([]byte, len("from the client"))
	_, err = io.ReadFull(server, got)
	require.NoError(t, err)
	require.Equal(t, "from the client", string(got))
	_, err = io.ReadFull(client, got)
	require.NoError(t, err)
	require.Equal(t, "from the server", string(got))
	works(t, client, server)
}

// Both ends' kernels find the silence, by a probe and by data that nobody acknowledges.
func TestASilentLinkIsSilentToKernels(t *testing.T) {
	w := newWire(t)
	client, server := w.pair()
	works(t, client, server)
	impatient(t, client)
	impatient(t, server)
	w.Apply([]Rule{{Silent: true}})
	_, err := client.Write([]byte("is anybody there?"))
	require.NoError(t, err)
	require.ErrorIs(t, howItEnded(t, client), syscall.ETIMEDOUT)
	require.ErrorIs(t, howItEnded(t, server), syscall.ETIMEDOUT)
}

func impatient(t *testing.T, c *net.TCPConn) {
	t.Helper()
	require.NoError(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 1}))
	control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 500) })
}

// A connection that is made during a silence hears nothing until it ends.
func TestASilenceMeetsNewConnections(t *testing.T) {
	w := newWire(t)
	w.Apply([]Rule{{Silent: true}})
	conn, err := net.Dial("tcp", w.Addr())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "early")
	require.NoError(t, err)
	w.Apply(nil)
	got := make([]byte, len("early"))
	_, err = io.ReadFull(w.next(), got)
	require.NoError(t, err)
	require.Equal(t, "early", string(got))
}

func TestResetReachesBothEnds(t *testing.T) {
	w := newWire(t)
	client, server := w.pair()
	works(t, client, server)
	require.Equal(t, 1, w.Reset(Selector{}))
	require.ErrorIs(t, howItEnded(t, client), syscall.ECONNRESET)
	require.ErrorIs(t, howItEnded(t, server), syscall.ECONNRESET)
	client, server = w.pair()
	works(t, client, server) // new ones are not concerned
}

// What one end does to the other goes through.
func TestAnEndThatResets(t *testing.T) {
	w := newWire(t)
	client, server := w.pair()
	works(t, client, server)
	require.NoError(t, client.SetLinger(0))
	require.NoError(t, client.Close())
	require.ErrorIs(t, howItEnded(t, server), syscall.ECONNRESET)
}

// What one end does in a silence the other learns after it, though nobody says anything.
func TestAnEndThatResetsInASilence(t *testing.T) {
	w := newWire(t)
	client, server := w.pair()
	works(t, client, server)
	w.Apply([]Rule{{Silent: true}})
	require.NoError(t, client.SetLinger(0))
	require.NoError(t, client.Close())
	w.Apply(nil)
	require.ErrorIs(t, howItEnded(t, server), syscall.ECONNRESET)
}

func TestRefusedAndUnreachable(t *testing.T) {
	w := newWire(t)
	w.Apply([]Rule{{Refuse: true}})
	requireReset(t, w.Addr())
	w.Apply(nil)
	client, server := w.pair()
	works(t, client, server)
	require.NoError(t, w.server.Close())
	requireReset(t, w.Addr())
}

// requireReset dials, and allows the reset to come before the connection is seen as made.
func requireReset(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err == nil {
		err = howItEnded(t, conn.(*net.TCPConn))
		_ = conn.Close()
	}
	require.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), "%v", err)
}

// Rules choose connections by the process that dialled, or by one that started it.
func TestRulesChooseByEnvironment(t *testing.T) {
	environments := make([]Environment, 2)
	w := newWire(t, environments...)
	var servers []*net.TCPConn
	for i := range environments {
		environments[i] = Environment{ID: fmt.Sprint("e", i), Function: fmt.Sprint("f", i), PIDs: []int{process(t, w.Addr())}}
		server := w.next()
		_, err := fmt.Fscanln(server, new(int))
		require.NoError(t, err)
		servers = append(servers, server)
	}
	echoes := func(server *net.TCPConn) { passes(t, server, server) }
	echoes(servers[0])
	w.Apply([]Rule{{Selector: Selector{Function: "f1"}, Latency: 100 * time.Millisecond}, {Selector: Selector{Environment: "e1", Function: "f0"}, Silent: true}})
	began := time.Now()
	echoes(servers[1])
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	w.Apply([]Rule{{Selector: Selector{Environment: "e0"}, Silent: true}})
	echoes(servers[1])
	require.Zero(t, w.Reset(Selector{Environment: "nobody"}))
	require.Equal(t, 1, w.Reset(Selector{Environment: "e1"}))
	require.ErrorIs(t, howItEnded(t, servers[1]), syscall.ECONNRESET)
	w.Apply(nil)
	echoes(servers[0])
}

// process starts a shell whose child holds a connection, and returns the shell's id.
func process(t *testing.T, address string) int {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("sh", "-c", `"$0" & wait`, program)
	cmd.Env = append(os.Environ(), dialVariable+"="+address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}
