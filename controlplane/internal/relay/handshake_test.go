package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Scenario 35: forged, replayed, expired, or of another function: refused and counted.
func TestWhatTheHandshakeRefuses(t *testing.T) {
	b := newBed(t, plain)
	b.expect("a")
	b.expect("gone")
	b.Forget("gone")
	tunnel := func(bearer string) string { return upgrade(wire.TunnelPath, bearer) }
	good := tunnel(b.token("a"))
	cases := []struct {
		name, request string
		status        int
		drop          Drop
		says          string
	}{
		{"no HTTP", "\x16\x03\x01 hello\r\n\r\n", 400, DropMalformedRequest, "malformed"},
		{"unknown path", strings.Replace(good, wire.TunnelPath, "/", 1), 404, DropUnknownPath, ""},
		{"wrong method", strings.Replace(good, "GET", "POST", 1), 405, DropWrongMethod, "GET"},
		{"no upgrade", strings.Replace(good, "Upgrade: "+wire.Protocol, "X: y", 1), 426, DropUpgradeRequired, wire.Protocol},
		{"another version", strings.Replace(good, "dispatch/1", "dispatch/9", 1), 426, DropUpgradeRequired, "dispatch/9"},
		{"no connection header", strings.Replace(good, "Connection: Upgrade", "X: y", 1), 426, DropUpgradeRequired, ""},
		{"head too large", strings.Replace(good, "\r\n\r\n", "\r\nX: "+strings.Repeat("y", 2*maxHead)+"\r\n\r\n", 1), 431, DropRequestTooLarge, ""},
		{"bytes before the 101", good + "early", 400, DropEarlyBytes, "before the 101"},
		{"no token", strings.Replace(good, "Authorization", "X", 1), 401, DropTokenMissing, "Bearer"},
		{"another scheme", strings.Replace(good, "Bearer", "Basic", 1), 401, DropTokenMissing, ""},
		{"malformed token", tunnel("nonsense"), 401, DropTokenMalformed, "malformed"},
		{"forged token", tunnel(mint(token.NewKey(), "web", "a", time.Hour)), 401, DropTokenForged, ""},
		{"expired token", tunnel(mint(b.key, "web", "a", -time.Second)), 401, DropTokenExpired, "expired"},
		{"another function's token", tunnel(mint(b.key, "mail", "a", time.Hour)), 401, DropWrongFunction, "another function"},
		{"never expected", tunnel(mint(b.key, "web", "b", time.Hour)), 401, DropUnknownInstance, ""},
		{"replayed after the end", tunnel(mint(b.key, "web", "gone", time.Hour)), 401, DropUnknownInstance, "ended"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := b.Stats().Dropped[c.drop]
			conn := b.dial()
			defer conn.Close()
			answer, body := b.ask(conn, c.request)
			require.Equal(t, c.status, answer.StatusCode, body)
			require.Contains(t, body, c.says)
			require.Less(t, len(body), 1024)
			require.Equal(t, before+1, b.Stats().Dropped[c.drop])
			require.WithinDuration(t, time.Now(), b.Stats().LastDropped[c.drop], time.Minute)
			requireEnd(t, conn)
		})
	}
	require.Empty(t, b.Stats().TunnelsIdle)
}

// A peer takes 401 as final; a relay that has just begun must not say it of an instance that lives.
func TestARelayThatDoesNotKnowWhomToExpectRefusesForNow(t *testing.T) {
	var settled atomic.Bool
	b := newBed(t, func(c *Config) { c.Settled = settled.Load })
	unknown := upgrade(wire.TunnelPath, mint(b.key, "web", "b", time.Hour))
	forged := upgrade(wire.TunnelPath, mint(token.NewKey(), "web", "b", time.Hour))
	for _, c := range []struct {
		request string
		settled bool
		status  int
	}{{unknown, false, 503}, {forged, false, 401}, {unknown, true, 401}} {
		settled.Store(c.settled)
		conn := b.dial()
		answer, body := b.ask(conn, c.request)
		require.Equal(t, c.status, answer.StatusCode, body)
		require.NoError(t, conn.Close())
	}
	require.Equal(t, uint64(1), b.Stats().Dropped[DropUnsettled])
}

func TestAHandshakeThatStallsIsCut(t *testing.T) {
	for name, mode := range map[string]TLSMode{"tls": TLSAuto, "plain": TLSOff} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, func(c *Config) { c.TLS, c.HandshakeTimeout = mode, 50*time.Millisecond })
			c, err := net.Dial("tcp", b.Addr().String())
			require.NoError(t, err)
			defer c.Close()
			_, _ = io.WriteString(c, "G")
			require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
			_, err = io.Copy(io.Discard, c)
			require.False(t, isTimeout(err))
			b.eventually(func() bool { return b.Stats().Dropped[DropHandshakeTimeout] == 1 }, "%v", b.Stats())
		})
	}
}

func TestPlainTCPAgainstTLSIsCounted(t *testing.T) {
	b := newBed(t)
	c, err := net.Dial("tcp", b.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, upgrade(wire.TunnelPath, "x"))
	require.NoError(t, err)
	b.eventually(func() bool { return b.Stats().Dropped[DropTLSHandshake] == 1 }, "not counted")
}

func TestConnectionsAreLimited(t *testing.T) {
	b := newBed(t, plain, func(c *Config) { c.MaxConnections = 2 })
	b.up("a")
	c := b.dial()
	defer c.Close()
	answer, body := b.ask(c, upgrade(wire.TunnelPath, b.token("a")))
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode, body)
	require.EqualValues(t, 1, b.Stats().Dropped[DropTooManyConnections])
}

func TestIdleTunnelsAreLimited(t *testing.T) {
	b := newBed(t, plain)
	b.expect("a")
	for range wire.MaxIdleTunnels {
		b.tunnel("a")
	}
	c := b.dial()
	defer c.Close()
	answer, body := b.ask(c, upgrade(wire.TunnelPath, b.token("a")))
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode, body)
	require.EqualValues(t, 1, b.Stats().Dropped[DropTooManyTunnels])
}

func register(bearer, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		wire.RegisterPath, bearer, len(body), body)
}

// The control plane takes a while to answer a registration. Whoever waits for that keeps nobody else from the relay.
func TestRegistrationsThatWaitHoldUpNobody(t *testing.T) {
	b := newBed(t)
	answer := make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	defer release()
	b.events.register = func(string, wire.Registration) (wire.Invocation, error) {
		<-answer
		return wire.Invocation{}, relays.ErrUnauthorized
	}
	var waiting sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		conn := b.dial()
		waiting.Go(func() {
			defer conn.Close()
			b.ask(conn, register("secret", `{"lambda_dispatch":1,"function":"web","environment":"laptop"}`))
		})
	}
	late := b.dial()
	defer late.Close()
	got, text := b.ask(late, "GET /nothing HTTP/1.1\r\nHost: relay\r\n\r\n")
	require.Equal(t, http.StatusNotFound, got.StatusCode, text)
	release()
	waiting.Wait()
}

func TestRegister(t *testing.T) {
	b := newBed(t)
	invocation := wire.Invocation{
		Version: wire.Version, Instance: "r-1", Function: "web", Token: "t", Concurrency: 3, Relays: []wire.Relay{b.Advertised()},
	}
	b.events.register = func(bearer string, r wire.Registration) (wire.Invocation, error) {
		switch {
		case r.Function == "none":
			return wire.Invocation{}, fmt.Errorf("%w: none", relays.ErrUnknownFunction)
		case r.Function == "full":
			return wire.Invocation{}, errors.New("no room")
		case bearer != "secret":
			return wire.Invocation{}, relays.ErrUnauthorized
		}
		return invocation, nil
	}
	body := func(function string) string {
		return fmt.Sprintf(`{"lambda_dispatch":1,"function":%q,"environment":"laptop"}`, function)
	}
	cases := []struct {
		name, request string
		status        int
	}{
		{"good", register("secret", body("web")), 200},
		{"wrong token", register("guess", body("web")), 401},
		{"unknown function", register("secret", body("none")), 404},
		{"full", register("secret", body("full")), 503},
		{"GET", strings.Replace(register("secret", body("web")), "POST", "GET", 1), 405},
		{"no token", strings.Replace(register("secret", body("web")), "Authorization", "X", 1), 401},
		{"not JSON", register("secret", "web"), 400},
		{"another version", register("secret", strings.Replace(body("web"), ":1", ":2", 1)), 400},
		{"large", register("secret", body(strings.Repeat("x", wire.MaxInvocation))), 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := b.dial()
			defer conn.Close()
			answer, text := b.ask(conn, c.request)
			require.Equal(t, c.status, answer.StatusCode, text)
			if c.status == http.StatusOK {
				got, err := wire.DecodeInvocation([]byte(text))
				require.NoError(t, err)
				require.Equal(t, invocation, got)
			}
		})
	}
}

// FuzzAnswer feeds the request parser: whatever comes is refused or served, and nothing is left.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(upgrade(wire.TunnelPath, "x")))
	f.Add([]byte(register("x", `{"lambda_dispatch":1}`)))
	f.Add([]byte("GET /v1/control HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, request []byte) {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
		if err != nil {
			return
		}
		r := &Relay{config: Config{Key: token.NewKey()}, instances: map[string]*instance{}}
		if checkUpgrade(req) == nil {
			_, err = r.authorize(req)
			var why *refusal
			require.ErrorAs(t, err, &why)
			require.Equal(t, http.StatusUnauthorized, why.status())
		}
	})
}

func mint(k token.Key, function, instance string, life time.Duration) string {
	return k.Mint(function, instance, time.Now().Add(life))
}
