package relay

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// patience is how long a test waits for what must happen; only a failing one waits that long.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is the control plane: it notes every call and checks their order.
type recorder struct {
	mu       sync.Mutex
	calls    []string
	downs    map[string]error
	reports  map[string]*wire.Report
	register func(bearer string, r wire.Registration) (wire.Invocation, error)
}

func (e *recorder) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, fmt.Sprintf(format, args...))
}

func (e *recorder) Up(up relays.Up) {
	e.note("up %s %s %d %v", up.Instance, up.Environment, up.Slots, up.Cold)
}

func (e *recorder) Waiting(w relays.Waiting) {
	e.note("waiting %s %s: %s", w.Instance, w.Environment, w.What)
}
func (e *recorder) Load(id string, l relays.Load)     { e.note("load %s %d", id, l.InFlight) }
func (e *recorder) Notice(id string, n wire.Notice)   { e.note("notice %s %s", id, n) }
func (e *recorder) Draining(id string, r wire.Reason) { e.note("draining %s %s", id, r) }

func (e *recorder) Lost(id string, _ error) { e.note("lost %s", id) }

func (e *recorder) Down(id string, report *wire.Report, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, "down "+id)
	e.downs[id], e.reports[id] = err, report
}

func (e *recorder) Register(_ context.Context, bearer string, r wire.Registration) (wire.Invocation, error) {
	return e.register(bearer, r)
}

func (e *recorder) has(call string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.calls {
		if c == call {
			return true
		}
	}
	return false
}

func (e *recorder) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.calls...)
}

func (e *recorder) down(id string) (*wire.Report, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reports[id], e.downs[id]
}

// A bed is a running relay with its control plane.
type bed struct {
	testing.TB
	*Relay
	events *recorder
	key    token.Key
}

func newBed(t testing.TB, change ...func(*Config)) *bed {
	t.Helper()
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := Config{
		Address: "127.0.0.1:0", TLS: TLSAuto, Dir: dir, TunnelWait: patience, MaxConnections: 10_000, Key: token.NewKey(),
		FirstByte: patience, HandshakeTimeout: patience,
	}
	for _, c := range change {
		c(&config)
	}
	events := &recorder{downs: map[string]error{}, reports: map[string]*wire.Report{}}
	log := logrus.New()
	log.SetOutput(io.Discard)
	r, err := New(config, events, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		s := r.Stats()
		require.Zero(t, s.Connections+s.Strangers, "connections left")
		require.Zero(t, s.Instances+s.Up+s.TunnelsIdle+s.Spliced+s.Waiting, "gauges left: %+v", s)
	})
	return &bed{TB: t, Relay: r, events: events, key: config.Key}
}

func plain(c *Config) { c.TLS = TLSOff }

func (b *bed) expect(id string) {
	b.Expect(relays.Expectation{Instance: id, Function: "web", Endpoint: "web/" + endpointNumber(id), Expires: time.Now().Add(time.Minute)})
}

func endpointNumber(id string) string { return fmt.Sprintf("%04d", len(id)) }

func (b *bed) token(id string) string { return b.key.Mint("web", id, time.Now().Add(time.Minute)) }

// socket is where Envoy finds the instance.
func (b *bed) socket(id string) string { return b.SocketPath("web/" + endpointNumber(id)) }

func (b *bed) eventually(ok func() bool, what string, args ...any) {
	b.Helper()
	require.Eventually(b, ok, patience, time.Millisecond, append([]any{what}, args...)...)
}

// dial opens a connection as a peer does.
func (b *bed) dial() net.Conn {
	b.Helper()
	c, err := b.tryDial(nil)
	require.NoError(b, err)
	return c
}

func (b *bed) tryDial(cache tls.ClientSessionCache) (net.Conn, error) {
	how := b.Advertised()
	c, err := net.Dial("tcp", how.Address)
	if err != nil || !how.TLS {
		return c, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(how.CA))
	t := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: how.Name, ClientSessionCache: cache})
	if err := t.Handshake(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return t, nil
}

// ask sends a request as it stands and returns the answer.
func (b *bed) ask(c net.Conn, request string) (*http.Response, string) {
	b.Helper()
	require.NoError(b, c.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(c, request)
	require.NoError(b, err)
	answer, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(b.head(c)), c)), nil)
	require.NoError(b, err)
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return answer, ""
	}
	body, err := io.ReadAll(answer.Body)
	require.NoError(b, err)
	return answer, string(body)
}

// head reads up to the empty line and not a byte more: the tunnel's first bytes may be right behind it.
func (b *bed) head(c net.Conn) []byte {
	b.Helper()
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		_, err := io.ReadFull(c, one)
		require.NoError(b, err, "after %q", head)
	}
	return head
}

func upgrade(path, bearer string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		path, wire.Protocol, bearer)
}

// open upgrades a new connection.
func (b *bed) open(path, id string) net.Conn {
	b.Helper()
	c := b.dial()
	answer, body := b.ask(c, upgrade(path, b.token(id)))
	require.Equal(b, http.StatusSwitchingProtocols, answer.StatusCode, body)
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func (b *bed) tunnel(id string) net.Conn { b.Helper(); return b.open(wire.TunnelPath, id) }

// A control is the peer's end of a control stream.
type control struct {
	net.Conn
	*wire.Encoder
	*wire.Decoder
}

func (b *bed) stream(id string) control {
	b.Helper()
	c := b.open(wire.ControlPath, id)
	return control{c, wire.NewEncoder(c), wire.NewDecoder(c)}
}

func hello(id string) wire.Message {
	return wire.Message{Kind: wire.KindHello, Version: wire.Version, Instance: id, Environment: "env-" + id, Slots: 10, Cold: true}
}

func (b *bed) control(id string) control {
	b.Helper()
	c := b.stream(id)
	require.NoError(b, c.Encode(hello(id)))
	m, err := c.Decode()
	require.NoError(b, err)
	require.Equal(b, wire.KindWelcome, m.Kind, m.Detail)
	return c
}

// up brings an instance up and returns its control stream and first tunnel.
func (b *bed) up(id string) (control, net.Conn) {
	b.Helper()
	b.expect(id)
	c, t := b.control(id), b.tunnel(id)
	b.eventually(func() bool { return b.events.has(fmt.Sprintf("up %s env-%s 10 true", id, id)) }, "never up")
	return c, t
}

// envoy opens a connection as Envoy does.
func (b *bed) envoy(id string) *net.UnixConn {
	b.Helper()
	c, err := net.Dial("unix", b.socket(id))
	require.NoError(b, err)
	require.NoError(b, c.SetDeadline(time.Now().Add(patience)))
	b.Cleanup(func() { _ = c.Close() })
	return c.(*net.UnixConn)
}

func exchange(t testing.TB, from, to net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(from, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(to, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func requireEnd(t testing.TB, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	n, err := c.Read(make([]byte, 1))
	require.Zero(t, n)
	require.Error(t, err)
	require.False(t, isTimeout(err), "still open")
}

func TestBytesFlowBothWays(t *testing.T) {
	for name, mode := range map[string]TLSMode{"tls": TLSAuto, "plain": TLSOff} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, func(c *Config) { c.TLS = mode })
			_, peer := b.up("a")
			envoy := b.envoy("a")
			for _, text := range []string{"x", "PRI * HTTP/2.0\r\n", string(bytes.Repeat([]byte("0123456789"), 5000))} {
				exchangeBoth(t, envoy, peer, text)
			}
			require.EqualValues(t, 1, b.Stats().Spliced)
		})
	}
}

func exchangeBoth(t testing.TB, envoy, peer net.Conn, text string) {
	t.Helper()
	exchange(t, envoy, peer, text)
	exchange(t, peer, envoy, text)
}
