package relay

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

func modes(t *testing.T, test func(*testing.T, *bed)) {
	t.Run("tls", func(t *testing.T) { test(t, newBed(t)) })
	t.Run("plain", func(t *testing.T) { test(t, newBed(t, plain)) })
}

func closeWrite(t testing.TB, c net.Conn) {
	t.Helper()
	require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
}

func TestHalfCloseTravelsBothWays(t *testing.T) {
	modes(t, func(t *testing.T, b *bed) {
		_, peer := b.up("a")
		envoy := b.envoy("a")
		exchange(t, envoy, peer, "request")
		closeWrite(t, envoy)
		requireEOF(t, peer)
		exchange(t, peer, envoy, "answer")
		closeWrite(t, peer)
		requireEOF(t, envoy)
		b.eventually(func() bool { return b.Stats().Spliced == 0 }, "still spliced")
	})
}

func requireEOF(t testing.TB, c net.Conn) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestEnvoyGoneClosesTheTunnel(t *testing.T) {
	modes(t, func(t *testing.T, b *bed) {
		_, peer := b.up("a")
		envoy := b.envoy("a")
		exchange(t, envoy, peer, "request")
		require.NoError(t, envoy.Close())
		requireEnd(t, peer)
		b.eventually(func() bool { return b.Stats().Spliced == 0 }, "the tunnel waits for a peer that has nobody to answer")
	})
}

// A peer cannot tell from an orderly end whether anybody still reads what it sends. It can from a reset, which comes after
// everything that was sent to it.
func TestEnvoyGoneIsAResetAfterTheLastByte(t *testing.T) {
	t.Parallel() // it mostly waits
	modes(t, func(t *testing.T, b *bed) {
		for _, size := range []int{0, 10, 500_000} {
			name := strconv.Itoa(size)
			_, peer := b.up(name)
			envoy := b.envoy(name)
			exchange(t, envoy, peer, "request")
			last := bytes.Repeat([]byte("x"), size)
			go func() {
				_, _ = envoy.Write(last)
				_ = envoy.Close()
			}()
			got, err := io.ReadAll(peer)
			require.ErrorIs(t, err, syscall.ECONNRESET, "%d bytes", size)
			require.Len(t, got, size)
		}
		b.eventually(func() bool { return b.Stats().Spliced == 0 }, "still spliced")
	})
}

// Nobody reads and nobody writes: only a look at Envoy's side finds out.
func TestEnvoyGoneEndsATunnelThatTakesNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	modes(t, func(t *testing.T, b *bed) {
		_, peer := b.up("a")
		envoy := b.envoy("a")
		exchange(t, envoy, peer, "request")
		require.NoError(t, envoy.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		_, err := envoy.Write(make([]byte, 64<<20))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the peer reads nothing")
		require.NoError(t, envoy.Close())
		b.eventually(func() bool { return b.Stats().Spliced == 0 }, "the tunnel waits for a peer that reads nothing")
		_, err = io.Copy(io.Discard, peer)
		require.Error(t, err)
	})
}

func TestAPeerKilledMidAnswerClosesEnvoysSide(t *testing.T) {
	t.Parallel() // it mostly waits
	modes(t, func(t *testing.T, b *bed) {
		_, peer := b.up("a")
		envoy := b.envoy("a")
		exchange(t, envoy, peer, "request")
		exchange(t, peer, envoy, "half an ans")
		kill(t, peer)
		requireEnd(t, envoy)
		b.eventually(func() bool { return b.Stats().Spliced == 0 }, "still spliced")
	})
}

// kill closes a connection as the kernel does for a killed process, without TLS's goodbye.
func kill(t testing.TB, c net.Conn) {
	t.Helper()
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	require.NoError(t, c.(*net.TCPConn).SetLinger(0))
	require.NoError(t, c.Close())
}

func TestAnIdleTunnelThatDiesIsRemoved(t *testing.T) {
	modes(t, func(t *testing.T, b *bed) {
		_, dead := b.up("a")
		live := b.tunnel("a")
		b.eventually(func() bool { return b.Stats().TunnelsIdle == 2 }, "no second tunnel")
		require.NoError(t, dead.Close())
		b.eventually(func() bool { return b.Stats().TunnelsIdle == 1 }, "a dead tunnel is kept")
		exchangeBoth(t, b.envoy("a"), live, "hello")
	})
}

func TestIdleTunnelsBeyondTheFirstAreClosedWhenNoneIsNeeded(t *testing.T) {
	b := newBed(t, plain)
	_, first := b.up("a")
	surplus := []net.Conn{b.tunnel("a"), b.tunnel("a")}
	for _, c := range surplus {
		requireEnd(t, c)
	}
	require.EqualValues(t, 1, b.Stats().TunnelsIdle)
	exchangeBoth(t, b.envoy("a"), first, "hello")
}

func TestBytesOnAnIdleTunnelAreAnError(t *testing.T) {
	modes(t, func(t *testing.T, b *bed) {
		_, tunnel := b.up("a")
		_, err := io.WriteString(tunnel, "nobody asked")
		require.NoError(t, err)
		requireEnd(t, tunnel)
		require.EqualValues(t, 1, b.Stats().Dropped[DropEarlyBytes])
	})
}

func TestEnvoyWaitsForATunnelInLine(t *testing.T) {
	b := newBed(t, plain)
	_, first := b.up("a")
	exchangeBoth(t, b.envoy("a"), first, "hello")
	one, two := b.envoy("a"), b.envoy("a")
	b.eventually(func() bool { return b.Stats().Waiting == 2 }, "nobody waits")
	_, _ = io.WriteString(one, "one")
	_, _ = io.WriteString(two, "two")
	for _, want := range []string{"one", "two"} {
		peer := b.tunnel("a")
		got := make([]byte, 3)
		_, err := io.ReadFull(peer, got)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestEnvoyWaitsForATunnelOnlySoLong(t *testing.T) {
	b := newBed(t, plain, func(c *Config) { c.TunnelWait = 10 * time.Millisecond })
	_, first := b.up("a")
	exchangeBoth(t, b.envoy("a"), first, "hello")
	requireEnd(t, b.envoy("a"))
	require.EqualValues(t, 1, b.Stats().Dropped[DropNoTunnel])
	require.Zero(t, b.Stats().Waiting)
}

// A relay that stood still has heard no tunnel meanwhile: Envoy's connections wait anew.
func TestEnvoyWaitsAnewForATunnelWhenTheRelayStoodStill(t *testing.T) {
	b := newBed(t, plain)
	_, first := b.up("a")
	exchangeBoth(t, b.envoy("a"), first, "hello")
	envoy := b.envoy("a")
	b.eventually(func() bool { return b.Stats().Waiting == 1 }, "nobody waits")
	i := b.find("a")
	i.mu.Lock()
	w := i.waiting[0]
	w.due = time.Now().Add(-time.Second)
	i.mu.Unlock()
	w.expire()
	require.EqualValues(t, 1, b.Stats().Waiting)
	exchangeBoth(t, envoy, b.tunnel("a"), "at last")
}

// Requests that no tunnel has carried can be sent again elsewhere, and Envoy is told so.
func TestEnvoyIsToldThatNoTunnelCarriedItsRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		wait time.Duration
		then func(b *bed)
	}{
		"no tunnel comes":   {time.Millisecond, func(*bed) {}},
		"the instance ends": {patience, func(b *bed) { b.Forget("a") }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, plain, func(c *Config) { c.TunnelWait = tt.wait })
			_, first := b.up("a")
			exchangeBoth(t, b.envoy("a"), first, "hello")
			envoy := b.envoy("a")
			_, err := envoy.Write([]byte(http2.ClientPreface))
			require.NoError(t, err)
			b.eventually(func() bool { return b.Stats().Waiting == 1 || b.Stats().Dropped[DropNoTunnel] == 1 }, "did not wait")
			tt.then(b)

			require.NoError(t, envoy.SetReadDeadline(time.Now().Add(patience)))
			frames := http2.NewFramer(envoy, envoy)
			frame, err := frames.ReadFrame()
			require.NoError(t, err)
			require.IsType(t, &http2.SettingsFrame{}, frame)
			frame, err = frames.ReadFrame()
			require.NoError(t, err)
			require.IsType(t, &http2.GoAwayFrame{}, frame)
			require.Zero(t, frame.(*http2.GoAwayFrame).LastStreamID)
			require.Equal(t, http2.ErrCodeNo, frame.(*http2.GoAwayFrame).ErrCode)
			requireEnd(t, envoy)
			require.Zero(t, b.Stats().Waiting)
		})
	}
}

func TestWaitingConnectionsAreLimited(t *testing.T) {
	b := newBed(t, plain)
	_, first := b.up("a")
	exchangeBoth(t, b.envoy("a"), first, "hello")
	for range maxWaiting {
		b.envoy("a")
	}
	b.eventually(func() bool { return b.Stats().Waiting == maxWaiting }, "nobody waits")
	requireEnd(t, b.envoy("a"))
	require.EqualValues(t, 1, b.Stats().Dropped[DropTooManyWaiting])
}

func TestLongLargeTransfersAreExact(t *testing.T) {
	modes(t, func(t *testing.T, b *bed) {
		_, peer := b.up("a")
		envoy := b.envoy("a")
		data := make([]byte, 32<<20)
		random := rand.NewChaCha8([32]byte{1})
		_, _ = random.Read(data)
		want := sha256.Sum256(data)
		sums := make(chan [32]byte, 2)
		for _, pair := range [][2]net.Conn{{envoy, peer}, {peer, envoy}} {
			go func() {
				_, _ = io.Copy(pair[0], bytes.NewReader(data))
				_ = pair[0].(interface{ CloseWrite() error }).CloseWrite()
			}()
			go func() {
				h := sha256.New()
				_, _ = io.Copy(h, pair[1])
				sums <- [32]byte(h.Sum(nil))
			}()
		}
		require.Equal(t, want, <-sums)
		require.Equal(t, want, <-sums)
		require.EqualValues(t, len(data), b.Stats().BytesFromPeers)
		require.EqualValues(t, len(data), b.Stats().BytesToPeers)
	})
}

// Scenario 24: what a slow reader does not take stays with the sender.
func TestLongASlowReaderCostsBoundedMemory(t *testing.T) {
	modes(t, func(t *testing.T, b *bed) {
		_, peer := b.up("a")
		envoy := b.envoy("a")
		exchange(t, envoy, peer, "request")
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = io.Copy(peer, io.LimitReader(zeros{}, 1<<30))
		}()
		var before, after runtime.MemStats
		last := uint64(0)
		b.eventually(func() bool { // until the relay takes no more
			now := b.Stats().BytesFromPeers
			defer func() { last = now }()
			return now > 0 && now == last
		}, "never stops")
		runtime.ReadMemStats(&before)
		_, err := io.CopyN(io.Discard, envoy, 64<<20)
		require.NoError(t, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(4<<20))
		require.NoError(t, envoy.Close())
		<-sent
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Messages of every size arrive whole and at once, however records and reads cut them.
func TestNoMessageWaitsForTheNext(t *testing.T) {
	modes(t, func(t *testing.T, b *bed) {
		_, peer := b.up("a")
		envoy := b.envoy("a")
		exchange(t, envoy, peer, "request")
		rapid.Check(t, func(rt *rapid.T) {
			sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, 40_000)), 1, 8).Draw(rt, "sizes")
			total := 0
			for _, size := range sizes {
				total += size
			}
			go func() {
				for _, size := range sizes {
					_, _ = peer.Write(make([]byte, size))
				}
			}()
			_, err := io.CopyN(io.Discard, envoy, int64(total))
			require.NoError(rt, err)
		})
	})
}

// Envoy speaks HTTP/1.1 on tunnels of upgraded connections only.
func TestIdleUpgradedConnectionsAreEnded(t *testing.T) {
	b := newBed(t, plain)
	_, first := b.up("a")
	upgraded := b.envoy("a")
	exchange(t, upgraded, first, "GET /ws HTTP/1.1\r\n\r\n")
	exchange(t, first, upgraded, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
	second := b.tunnel("a")
	unanswered := b.envoy("a")
	exchange(t, unanswered, second, "GET /slow HTTP/1.1\r\n\r\n")
	third := b.tunnel("a")
	requests := b.envoy("a")
	exchange(t, requests, third, "PRI * HTTP/2.0\r\n\r\n")
	exchange(t, third, requests, "settings")

	require.Zero(t, b.EndIdleUpgrades(), "nobody knows yet what is idle")
	exchange(t, upgraded, first, "a message")
	require.Zero(t, b.EndIdleUpgrades(), "something has passed")
	require.Equal(t, 1, b.EndIdleUpgrades())
	requireEnd(t, upgraded)
	_, err := first.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET, "an end that cannot be taken for half of one")
	b.eventually(func() bool { return b.Stats().Spliced == 2 }, "others are still spliced")
	exchange(t, second, unanswered, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
	exchange(t, third, requests, "an answer")
}
