package relay

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func benchModes(b *testing.B, run func(*testing.B, *bed)) {
	for name, mode := range map[string]TLSMode{"tls": TLSAuto, "plain": TLSOff} {
		b.Run(name, func(b *testing.B) { run(b, newBed(b, func(c *Config) { c.TLS = mode })) })
	}
}

// BenchmarkPingPong is a small request and answer through an open tunnel. cpu-ns/op counts all of the process: relay,
// Envoy's end and the peer's end.
func BenchmarkPingPong(b *testing.B) {
	benchModes(b, func(b *testing.B, bed *bed) {
		_, peer := bed.up("a")
		envoy := bed.envoy("a")
		exchange(b, envoy, peer, "first")
		go echo(peer, 128)
		message := make([]byte, 128)
		b.ReportAllocs()
		before := cpuTime()
		for b.Loop() {
			if _, err := envoy.Write(message); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(envoy, message); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
	})
}

func echo(c net.Conn, size int) {
	message := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, message); err != nil {
			return
		}
		if _, err := c.Write(message); err != nil {
			return
		}
	}
}

// BenchmarkBulk is a long answer.
func BenchmarkBulk(b *testing.B) {
	benchModes(b, func(b *testing.B, bed *bed) {
		_, peer := bed.up("a")
		envoy := bed.envoy("a")
		exchange(b, envoy, peer, "first")
		const chunk = 1 << 20
		go func() { _, _ = io.Copy(peer, zeros{}) }()
		b.SetBytes(chunk)
		before := cpuTime()
		buf := make([]byte, 64<<10)
		for b.Loop() {
			for range chunk / len(buf) {
				if _, err := io.ReadFull(envoy, buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		_ = envoy.Close()
	})
}

// BenchmarkTunnelUp is a peer's dial up to the 101, with and without a TLS session to resume.
func BenchmarkTunnelUp(b *testing.B) {
	benchModes(b, func(b *testing.B, bed *bed) {
		bed.expect("a")
		for b.Loop() {
			c := bed.dial()
			bed.ask(c, upgrade("/v1/tunnel", bed.token("a")))
			_ = c.Close()
			bed.eventually(func() bool { return bed.Stats().TunnelsIdle == 0 }, "never left")
		}
	})
}

func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkIdleInstances holds a thousand idle instances, each with a control stream, an idle tunnel and one spliced,
// served connection, whose peers live in another process, and reports what one costs the relay's.
func BenchmarkIdleInstances(b *testing.B) {
	const count = 1000
	benchModes(b, func(b *testing.B, bed *bed) {
		for range b.N {
			before := resident(b)
			peers := startPeers(b, bed, count)
			bed.eventually(func() bool { s := bed.Stats(); return s.Up == count && s.TunnelsIdle == count }, "not up")
			idle := resident(b)
			envoys := make([]net.Conn, count)
			for n := range envoys {
				envoys[n] = bed.envoyAt(fmt.Sprintf("bench/%d", n))
				_, err := io.WriteString(envoys[n], strings.Repeat("x", 128))
				require.NoError(b, err)
				_, err = io.ReadFull(envoys[n], make([]byte, 128))
				require.NoError(b, err)
			}
			bed.eventually(func() bool { return bed.Stats().TunnelsIdle == count }, "no second tunnel")
			served := resident(b)
			cpu := cpuTime()
			time.Sleep(2 * time.Second)
			b.ReportMetric(float64(cpuTime()-cpu)/2e9*100, "idle-cpu-%")
			b.ReportMetric(float64(idle-before)/count, "idle-B/instance")
			b.ReportMetric(float64(served-before)/count, "spliced-B/instance")
			for n := range count {
				bed.Forget(fmt.Sprintf("i-%d", n))
			}
			peers()
		}
	})
}

func (b *bed) envoyAt(endpoint string) net.Conn {
	c, err := net.Dial("unix", b.SocketPath(endpoint))
	require.NoError(b, err)
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// resident is the process's resident set, in bytes, after everything unused was given back.
func resident(b *testing.B) int64 {
	runtime.GC()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	require.NoError(b, err)
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	require.NoError(b, err)
	return pages * int64(os.Getpagesize())
}

// startPeers runs this test binary again, as the peers, so that their memory does not count.
func startPeers(b *testing.B, bed *bed, count int) (stop func()) {
	for n := range count {
		bed.Expect(relays.Expectation{
			Instance: fmt.Sprintf("i-%d", n), Function: "web", Endpoint: fmt.Sprintf("bench/%d", n), Expires: time.Now().Add(patience),
		})
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPeersProcess$", "-test.timeout=120s")
	how := bed.Advertised()
	cmd.Env = append(os.Environ(), "RELAY_ADDRESS="+how.Address, "RELAY_CA="+how.CA, "RELAY_COUNT="+strconv.Itoa(count))
	for n := range count {
		cmd.Env = append(cmd.Env, fmt.Sprintf("RELAY_TOKEN_%d=%s", n, bed.token(fmt.Sprintf("i-%d", n))))
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	require.NoError(b, cmd.Start())
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// TestPeersProcess is the peers' process of BenchmarkIdleInstances, and nothing otherwise. It ends by being killed.
func TestPeersProcess(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("RELAY_COUNT"))
	if err != nil {
		t.Skip("not started by the benchmark")
	}
	b := remoteBed(t)
	var all sync.WaitGroup
	for n := range count {
		bearer := os.Getenv("RELAY_TOKEN_" + strconv.Itoa(n))
		all.Go(func() { b.peer("i-"+strconv.Itoa(n), bearer) })
	}
	all.Wait()
}

// remoteBed is a relay in another process, for dialling only.
func remoteBed(t testing.TB) *bed {
	ca := os.Getenv("RELAY_CA")
	id := identity{vouched: func() (string, string) { return ca, autoName }}
	if ca != "" {
		id.config = serverConfig(nil)
	}
	return &bed{TB: t, Relay: &Relay{config: Config{Advertise: os.Getenv("RELAY_ADDRESS")}, identity: id}}
}

// peer is a whole peer: a control stream, and tunnels that echo, the next one dialled when one is taken.
func (b *bed) peer(id, bearer string) {
	sessions := tls.NewLRUClientSessionCache(1)
	c, err := b.tryDial(sessions)
	require.NoError(b, err)
	defer func() { _ = c.Close() }() // and keeps it from the garbage collector
	b.ask(c, upgrade(wire.ControlPath, bearer))
	require.NoError(b, c.SetDeadline(time.Time{}))
	require.NoError(b, wire.NewEncoder(c).Encode(hello(id)))
	for {
		t, err := b.tryDial(sessions)
		require.NoError(b, err)
		b.ask(t, upgrade(wire.TunnelPath, bearer))
		require.NoError(b, t.SetDeadline(time.Time{}))
		first := make([]byte, 128)
		if _, err := io.ReadFull(t, first); err != nil {
			return
		}
		_, _ = t.Write(first)
		defer func() { _ = t.Close() }()
	}
}
