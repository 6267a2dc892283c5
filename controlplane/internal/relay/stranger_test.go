package relay

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// strangers opens connections, each of which says the same and then nothing.
func (b *bed) strangers(count int, says string) []net.Conn {
	b.Helper()
	all := make([]net.Conn, count)
	for n := range all {
		c, err := net.Dial("tcp", b.Addr().String())
		require.NoError(b, err)
		b.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, says)
		require.NoError(b, err)
		all[n] = c
	}
	return all
}

// clientHello is what a TLS connection begins with.
func clientHello(t *testing.T) string {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake()
	}()
	text := make([]byte, 16<<10)
	n, err := ours.Read(text)
	require.NoError(t, err)
	require.NoError(t, ours.Close())
	<-done
	return string(text[:n])
}

// Scenario 48: however far strangers go and then wait, they keep nobody out who has a token.
func TestStrangersKeepNobodyOut(t *testing.T) {
	t.Parallel() // it mostly waits
	hello := clientHello(t)
	registration := register("x", `{"lambda_dispatch":1}`)
	for name, c := range map[string]struct {
		mode TLSMode
		says string
	}{
		"silent":                 {TLSAuto, ""},
		"one byte":               {TLSAuto, hello[:1]},
		"half a hello":           {TLSAuto, hello[:len(hello)/2]},
		"no answer to our hello": {TLSAuto, hello},
		"half a request":         {TLSOff, "GET " + wire.ControlPath + " HTTP/1.1\r\nHost: rel"},
		"half a registration":    {TLSOff, registration[:len(registration)-1]},
	} {
		t.Run(name, func(t *testing.T) {
			const count = 400
			b := newBed(t, func(config *Config) { config.TLS = c.mode })
			b.strangers(count, c.says)
			b.eventually(func() bool { return b.Stats().Strangers == count }, "not all are there")
			b.up("a")
			require.EqualValues(t, count, b.Stats().Strangers)
		})
	}
}

func TestASilentConnectionIsClosed(t *testing.T) {
	b := newBed(t, func(c *Config) { c.FirstByte = 50 * time.Millisecond })
	leaves := b.strangers(1, "")[0]
	require.NoError(t, leaves.Close())
	b.eventually(func() bool { return b.Stats().Accepted == 1 && b.Stats().Strangers == 0 }, "still there")
	require.Zero(t, b.Stats().Dropped[DropSilent], "a port check is nobody's fault")
	requireEnd(t, b.strangers(1, "")[0])
	b.eventually(func() bool { return b.Stats().Dropped[DropSilent] == 1 }, "not counted")
}

// Descriptors that strangers hold are there for those who are let in.
func TestWithoutDescriptorsStrangersGo(t *testing.T) {
	b := newBed(t, plain)
	b.expect("a")
	const count = 3 * relief
	silent := b.strangers(count, "")
	b.eventually(func() bool { return b.Stats().Strangers == count }, "not all are there")
	hold := takeAllDescriptors(t)
	hold() // one, for the peer's own end
	control := b.control("a")
	b.eventually(func() bool { return b.Stats().Dropped[DropGaveWay] >= relief }, "%v", b.Stats())
	requireEnd(t, silent[0])
	b.tunnel("a")
	b.eventually(func() bool { return b.events.has("up a env-a 10 true") }, "never up")
	require.NoError(t, control.Encode(wire.Message{Kind: wire.KindLoad, InFlight: 3}))
	b.eventually(func() bool { return b.events.has("load a 3") }, "no load")
}

// takeAllDescriptors opens files until no more may be. give closes one of them; the test's end closes them all.
func takeAllDescriptors(t *testing.T) (give func()) {
	t.Helper()
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	low := before
	low.Cur = min(low.Cur, 1024)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
	var files []*os.File
	give = func() {
		_ = files[len(files)-1].Close()
		files = files[:len(files)-1]
	}
	t.Cleanup(func() {
		for len(files) > 0 {
			give()
		}
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	})
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			require.ErrorIs(t, err, syscall.EMFILE)
			return give
		}
		files = append(files, f)
	}
}

// Scenario 49: a function that floods the relay ends its own instance, and nobody else's.
func TestTooManyMessages(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBed(t)
	c, _ := b.up("a")
	for n := range messagesAtOnce + 2*messagesPerSecond {
		if c.Encode(wire.Message{Kind: wire.KindLoad, InFlight: n % 2}) != nil {
			break
		}
	}
	b.eventually(func() bool { return b.events.has("lost a") }, "still there")
	require.EqualValues(t, 1, b.Stats().Dropped[DropMessagesTooOften])
	b.eventually(func() bool { return b.events.has("down a") }, "never down")
	_, err := b.events.down("a")
	require.ErrorIs(t, err, relays.ErrTooOften)
}

// As many as a peer of ours sends while a relay stands still for a minute.
func TestAsManyMessagesAsMayBe(t *testing.T) {
	b := newBed(t)
	c, _ := b.up("a")
	for n := range messagesAtOnce - 1 {
		require.NoError(t, c.Encode(wire.Message{Kind: wire.KindLoad, InFlight: n % 2}))
	}
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonDeadline}))
	b.eventually(func() bool { return b.events.has("draining a deadline") }, "not heard")
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonDeadline}))
	b.eventually(func() bool { return b.events.has("lost a") }, "it may say so once")
}

func TestTooManyControlStreams(t *testing.T) {
	b := newBed(t, plain)
	b.up("a")
	codes := map[int]int{}
	for range streamsAtOnce + 10*streamsPerSecond {
		conn := b.dial()
		answer, _ := b.ask(conn, upgrade(wire.ControlPath, b.token("a")))
		codes[answer.StatusCode]++
		require.NoError(t, conn.Close())
	}
	require.NotZero(t, codes[http.StatusTooManyRequests], codes)
	require.EqualValues(t, codes[http.StatusTooManyRequests], b.Stats().Dropped[DropControlTooOften])
	b.up("bb") // of another instance there were none
}

func TestTooManyTunnels(t *testing.T) {
	b := newBed(t, plain)
	_, first := b.up("a")
	for range tunnelsAtOnce + tunnelsPerSecond {
		exchangeBoth(t, b.envoy("a"), first, "used")
		first = b.tunnel("a")
	}
	refused := 0
	for range tunnelsAtOnce + 10*tunnelsPerSecond {
		conn := b.dial()
		if answer, _ := b.ask(conn, upgrade(wire.TunnelPath, b.token("a"))); answer.StatusCode == http.StatusTooManyRequests {
			refused++
		}
		require.NoError(t, conn.Close())
		b.eventually(func() bool { return b.Stats().TunnelsIdle == 1 }, "still there")
	}
	require.NotZero(t, refused)
	exchangeBoth(t, b.envoy("a"), first, "still in service")
}
