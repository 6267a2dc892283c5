package controlplane_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/uplink"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func apart(t *testing.T) *controlplane.Config {
	cfg := valid(t)
	cfg.Relay.Apart, cfg.Relay.Admin = true, "127.0.0.1:0"
	require.NoError(t, cfg.Validate())
	return cfg
}

// serveRelay runs a relay. The returned function ends it.
func serveRelay(t *testing.T, cfg *controlplane.Config) (*controlplane.RelayServer, func()) {
	log := logrus.New()
	log.SetOutput(t.Output())
	s, err := controlplane.NewRelay(t.Context(), cfg, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return s, stop
}

// A planeLeader is a control plane of which only the relays' side is there.
type planeLeader struct {
	*uplink.Leader
	mu   sync.Mutex
	told []tables.Event
	end  func()
}

func lead(t *testing.T, cfg *controlplane.Config, term uint64) *planeLeader {
	log := logrus.New()
	log.SetOutput(t.Output())
	p := &planeLeader{}
	p.Leader = uplink.NewLeader(p, log)
	p.Lead(term)
	l, err := net.Listen("unix", filepath.Join(cfg.StateDir, "control.sock"))
	require.NoError(t, err)
	server := grpc.NewServer(grpc.Creds(trust.Socket()))
	p.Leader.Register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	p.end = sync.OnceFunc(func() {
		server.Stop()
		<-done
	})
	t.Cleanup(p.end)
	return p
}

func (p *planeLeader) Attached(string, tables.Hello) {}
func (p *planeLeader) Detached(string, error)        {}

func (p *planeLeader) Told(_ string, events []tables.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, events...)
}

func (p *planeLeader) Register(context.Context, string, string, wire.Registration) (wire.Invocation, error) {
	return wire.Invocation{}, nil
}

func (p *planeLeader) hears(t *testing.T, what string, is func(tables.Event) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.ContainsFunc(p.told, is)
	}, patience, time.Millisecond, what)
}

func hears[E tables.Event](t *testing.T, p *planeLeader) {
	t.Helper()
	var one E
	p.hears(t, fmt.Sprintf("%T", one), func(e tables.Event) bool { _, ok := e.(E); return ok })
}

// A handPeer speaks the protocol by hand.
type handPeer struct {
	t     *testing.T
	relay wire.Relay
	token string
}

// dial opens one connection; status is 101 where it stands.
func (h handPeer) dial(path string) (conn net.Conn, status int) {
	roots := x509.NewCertPool()
	require.True(h.t, roots.AppendCertsFromPEM([]byte(h.relay.CA)))
	conn, err := tls.Dial("tcp", h.relay.Address, &tls.Config{RootCAs: roots, ServerName: h.relay.Name})
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(h.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, wire.Protocol, h.token)
	require.NoError(h.t, err)
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	require.NoError(h.t, err)
	return conn, answer.StatusCode
}

func (h handPeer) serve() (tunnel net.Conn) {
	control, status := h.dial(wire.ControlPath)
	require.Equal(h.t, http.StatusSwitchingProtocols, status)
	hello := wire.Message{Kind: wire.KindHello, Version: wire.Version, Instance: "i1", Environment: "env", Slots: 10}
	require.NoError(h.t, wire.NewEncoder(control).Encode(hello))
	tunnel, status = h.dial(wire.TunnelPath)
	require.Equal(h.t, http.StatusSwitchingProtocols, status)
	return tunnel
}

// dialEndpoint connects to the instance as Envoy does. Its socket opens when the relay has read the peer's hello.
func dialEndpoint(t *testing.T, cfg *controlplane.Config) (conn net.Conn) {
	t.Helper()
	require.Eventually(t, func() (open bool) {
		var err error
		conn, err = net.Dial("unix", filepath.Join(cfg.StateDir, "e", "web-0000.sock"))
		return err == nil
	}, patience, time.Millisecond)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Beside Envoy the relay outlives control planes, and a control plane the relay.
func TestARelayApartServesOnWhileControlPlanesComeAndGo(t *testing.T) {
	cfg := apart(t)
	server, stop := serveRelay(t, cfg)
	require.Equal(t, http.StatusServiceUnavailable, status(t, server.AdminAddr()))
	first := lead(t, cfg, 1)
	hears[tables.Synced](t, first)
	require.Eventually(t, func() bool { return status(t, server.AdminAddr()) == http.StatusOK }, patience, time.Millisecond)
	first.Expect(tables.Expectation{Instance: "i1", Function: "web", Endpoint: "web/0000", Expires: tables.Micros(patience)})
	hears[tables.Expected](t, first)

	peer := handPeer{t: t, relay: first.Relays()[hostname(t)].Hello.Dial[0], token: tokenOf(t, cfg, "i1")}
	tunnel := peer.serve()
	hears[tables.Up](t, first)
	first.end()

	// Nobody leads: what is up serves.
	_, err := io.WriteString(dialEndpoint(t, cfg), "ping")
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(tunnel, got)
	require.NoError(t, err)
	require.Equal(t, "ping", string(got))

	second := lead(t, cfg, 2)
	hears[tables.Inherited](t, second)
	hears[tables.Up](t, second)
	hears[tables.Synced](t, second)

	// The relay ends with its leader: the next one lets the peer in whom nobody else knows, though nobody leads, and sends it what comes.
	// Of others it says only that they should dial again.
	second.end()
	stop()
	restarted, _ := serveRelay(t, cfg)
	peer.relay.Address = restarted.RelayAddr()
	tunnel = peer.serve()
	_, err = io.WriteString(dialEndpoint(t, cfg), "pong")
	require.NoError(t, err)
	_, err = io.ReadFull(tunnel, got)
	require.NoError(t, err)
	require.Equal(t, "pong", string(got))
	stranger := peer
	stranger.token = tokenOf(t, cfg, "i2")
	_, code := stranger.dial(wire.ControlPath)
	require.Equal(t, http.StatusServiceUnavailable, code)
	third := lead(t, cfg, 3)
	hears[tables.Inherited](t, third)
	hears[tables.Up](t, third)
	hears[tables.Synced](t, third)
}

func TestALeaderOfAnOlderTermIsNotObeyedByARelayThatHasRestarted(t *testing.T) {
	cfg := apart(t)
	_, stop := serveRelay(t, cfg)
	first := lead(t, cfg, 7)
	hears[tables.Synced](t, first)
	first.end()
	stop()
	serveRelay(t, cfg)
	older := lead(t, cfg, 6)
	older.hears(t, "superseded", func(e tables.Event) bool { return e == tables.Superseded{Term: 7} })
}

func TestARelayIsAProcessOfItsOwnOnlyWhereThatIsConfigured(t *testing.T) {
	log := logrus.New()
	log.SetOutput(t.Output())
	_, err := controlplane.NewRelay(t.Context(), valid(t), log)
	require.ErrorContains(t, err, "relay.apart")
	cfg := apart(t)
	serveRelay(t, cfg)
	ended, end := context.WithCancel(t.Context())
	end()
	_, err = controlplane.NewRelay(ended, cfg, log)
	require.EqualError(t, err, "state_dir: another process uses "+cfg.StateDir+", and has not ended meanwhile")
	cfg = apart(t)
	require.NoError(t, os.MkdirAll(cfg.StateDir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(cfg.StateDir, "relay.term"), []byte("x"), 0o600))
	_, err = controlplane.NewRelay(t.Context(), cfg, log)
	require.ErrorContains(t, err, "relay.term")
	cfg = apart(t)
	cfg.Relay.Admin = freeAddress(t)
	require.NoError(t, os.MkdirAll(filepath.Join(cfg.StateDir, "relay.book"), 0o700))
	_, err = controlplane.NewRelay(t.Context(), cfg, log)
	require.ErrorContains(t, err, "relay.book")
	require.NoError(t, os.Remove(filepath.Join(cfg.StateDir, "relay.book")))
	serveRelay(t, cfg) // nothing has stayed open
	require.ErrorContains(t, func() error { c := config.Default(); c.Relay.Admin = "127.0.0.1:1"; return c.Validate() }(), "relay.apart is false")
}

func status(t *testing.T, admin string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + admin + "/readyz")
	require.NoError(t, err)
	defer answer.Body.Close()
	return answer.StatusCode
}

func hostname(t *testing.T) string {
	name, err := os.Hostname()
	require.NoError(t, err)
	return name
}

// tokenOf is an instance's, made as a control plane makes it.
func tokenOf(t *testing.T, cfg *controlplane.Config, instance string) string {
	secret, err := os.ReadFile(filepath.Join(cfg.StateDir, "token.key"))
	require.NoError(t, err)
	key, err := token.KeyOf(secret)
	require.NoError(t, err)
	return key.Mint("web", instance, time.Now().Add(time.Hour))
}

// A control plane that is told to end before it knows what there is decides nothing: what it does not know may be there.
func TestAControlPlaneThatEndsWhileItWaitsForRelaysStartsNothing(t *testing.T) {
	cfg := apart(t)
	serveRelay(t, cfg)
	record := `{"version":1,"term":1,"holder":"","relays":["` + hostname(t) + `","another"]}`
	require.NoError(t, os.WriteFile(filepath.Join(cfg.StateDir, "leader.json"), []byte(record), 0o600))
	s, hook := open(t, cfg)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(hook.AllEntries(), func(e *logrus.Entry) bool { return e.Message == "a relay attaches" })
	}, patience, time.Millisecond)
	end()
	require.NoError(t, <-ended)
	for _, e := range hook.AllEntries() {
		require.NotEqual(t, "instance starts", e.Message)
	}
}

// Control planes know a relay by the same name for as long as its state directory lasts, whatever its host is called by then.
func TestARelayKeepsItsName(t *testing.T) {
	cfg := apart(t)
	_, stop := serveRelay(t, cfg)
	stop()
	file := filepath.Join(cfg.StateDir, "relay.name")
	name, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, hostname(t), string(name))
	require.NoError(t, os.WriteFile(file, []byte("before\n"), 0o600))
	serveRelay(t, cfg)
	first := lead(t, cfg, 1)
	hears[tables.Synced](t, first)
	require.Contains(t, first.Relays(), "before")
}

// Where the state directory does not outlive the relay, the configuration has its name.
func TestARelayIsCalledAsConfigured(t *testing.T) {
	cfg := apart(t)
	cfg.Relay.Name = "edge"
	serveRelay(t, cfg)
	first := lead(t, cfg, 1)
	hears[tables.Synced](t, first)
	require.Contains(t, first.Relays(), "edge")
}
