// Package relaytest is a relay for tests: it accepts control streams and tunnels as PROTOCOL.md says, and hands the
// tunnels to a test's HTTP client in place of Envoy.
package relaytest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Token is what a Relay accepts.
const Token = "token-of-the-test"

const patience = 10 * time.Second

// A Relay listens on loopback until its test ends.
type Relay struct {
	listener net.Listener
	ca       string // empty: no TLS
	controls chan *Control
	tunnels  chan net.Conn
	register http.HandlerFunc

	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]struct{}
	status int
	text   string
	silent bool
	delay  time.Duration
	dials  map[string]int
}

// Start returns a running Relay on plain TCP.
func Start(t testing.TB) *Relay { return start(t, nil, "") }

// StartTLS returns a running Relay with a certificate of its own for the name "relay.test".
func StartTLS(t testing.TB) *Relay {
	cert, ca := certificate(t)
	return start(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}, ca)
}

func start(t testing.TB, secure *tls.Config, ca string) *Relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &Relay{
		listener: listener, ca: ca,
		controls: make(chan *Control, 64), tunnels: make(chan net.Conn, 1024),
		conns: map[net.Conn]struct{}{}, dials: map[string]int{},
	}
	var accepting sync.WaitGroup
	accepting.Go(func() { r.accept(secure, &accepting) })
	t.Cleanup(func() {
		r.Close()
		accepting.Wait()
	})
	return r
}

// Wire returns the relay as an invocation names it.
func (r *Relay) Wire() wire.Relay {
	return wire.Relay{Address: r.listener.Addr().String(), TLS: r.ca != "", CA: r.ca, Name: "relay.test"}
}

// Invocation returns a valid invocation that names the relays.
func Invocation(slots int, relays ...*Relay) wire.Invocation {
	inv := wire.Invocation{
		Version: wire.Version, Instance: "i-1", Function: "web", Token: Token, Concurrency: slots,
		DialTimeout: wire.Millis(patience), DrainLimit: wire.Millis(5 * time.Second),
	}
	for _, r := range relays {
		inv.Relays = append(inv.Relays, r.Wire())
	}
	return inv
}

// Refuse makes the relay answer handshakes with status and text; 0 accepts them again.
func (r *Relay) Refuse(status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.text = status, text
}

// Mute makes the relay accept connections and answer nothing.
func (r *Relay) Mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = true
}

// Delay makes what is sent over connections that are accepted from now on arrive later by d, in either direction, and
// counts the time that their TCP handshake would take.
func (r *Relay) Delay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// HandleRegister sets what answers POSTs to wire.RegisterPath, before the first one.
func (r *Relay) HandleRegister(h http.HandlerFunc) { r.register = h }

// Dials returns how many handshakes at path have come.
func (r *Relay) Dials(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dials[path]
}

// Close stops listening and cuts every connection.
func (r *Relay) Close() {
	r.listener.Close()
	r.Cut()
}

// Cut closes every connection.
func (r *Relay) Cut() {
	r.mu.Lock()
	open := slices.Collect(maps.Keys(r.conns))
	r.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

func (r *Relay) accept(secure *tls.Config, handling *sync.WaitGroup) {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		tracked := &trackedConn{Conn: conn, relay: r}
		r.mu.Lock()
		if r.delay > 0 {
			tracked.Conn = delayed(conn, r.delay)
		}
		r.conns[tracked] = struct{}{}
		r.mu.Unlock()
		handling.Go(func() {
			if secure != nil {
				r.handle(tls.Server(tracked, secure))
			} else {
				r.handle(tracked)
			}
		})
	}
}

type trackedConn struct {
	net.Conn
	relay *Relay
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	delete(c.relay.conns, c)
	return c.Conn.Close()
}

// CloseWrite lets a tunnel be half closed.
func (c *trackedConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// Reset closes a tunnel as a relay does when Envoy's connection has gone. It must not be delayed.
func Reset(t testing.TB, tunnel net.Conn) {
	t.Helper()
	if secured, ok := tunnel.(*tls.Conn); ok {
		tunnel = secured.NetConn()
	}
	require.NoError(t, tunnel.(*trackedConn).Conn.(*net.TCPConn).SetLinger(0))
	require.NoError(t, tunnel.Close())
}

func (r *Relay) handle(conn net.Conn) {
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		conn.Close()
		return
	}
	r.mu.Lock()
	r.dials[req.URL.Path]++
	status, text, silent := r.status, r.text, r.silent
	r.mu.Unlock()
	if silent {
		_, _ = in.ReadByte() // until the peer gives up
		conn.Close()
		return
	}
	if req.URL.Path == wire.RegisterPath && r.register != nil {
		defer conn.Close()
		r.answer(conn, req)
		return
	}
	if status == 0 {
		status, text = check(req)
	}
	if status != 0 {
		fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, len(text), text)
		conn.Close()
		return
	}
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+wire.Protocol+"\r\n\r\n")
	if req.URL.Path == wire.ControlPath {
		r.controls <- &Control{conn: conn, dec: wire.NewDecoder(in), enc: wire.NewEncoder(conn)}
		return
	}
	r.tunnels <- conn
}

// answer serves one request to the register handler.
func (r *Relay) answer(conn net.Conn, req *http.Request) {
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	r.register(w, req)
	res := http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Close: true,
		ContentLength: int64(w.body.Len()), Body: io.NopCloser(strings.NewReader(w.body.String())),
	}
	_ = res.Write(conn)
}

type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

func check(req *http.Request) (status int, text string) {
	switch {
	case req.Method != http.MethodGet || req.Host == "" || !strings.EqualFold(req.Header.Get("Connection"), "upgrade"):
		return http.StatusBadRequest, "malformed"
	case req.Header.Get("Upgrade") != wire.Protocol:
		return http.StatusUpgradeRequired, "another version"
	case req.Header.Get("Authorization") != "Bearer "+Token:
		return http.StatusUnauthorized, "token unknown"
	case req.URL.Path != wire.ControlPath && req.URL.Path != wire.TunnelPath:
		return http.StatusNotFound, "no such path"
	}
	return 0, ""
}

// Tunnel waits for the peer's next tunnel. Closing it is the caller's.
func (r *Relay) Tunnel(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case conn := <-r.tunnels:
		return conn, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no tunnel: %w", ctx.Err())
	}
}

// Client returns a client whose connections are tunnels, HTTP/2 as Envoy speaks it or HTTP/1.1. It ends with the test.
func (r *Relay) Client(t testing.TB, http2 bool) *http.Client {
	transport := &http.Transport{
		DisableCompression: true,
		Protocols:          new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := r.Tunnel(ctx)
			return &plainConn{conn}, err
		},
	}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// plainConn hides TLS from http.Transport.
type plainConn struct{ net.Conn }
