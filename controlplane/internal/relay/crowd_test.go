package relay

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A crowd is many peers of ours in a process of their own, all behind one address.
type crowd struct {
	*testing.T
	pid int
	in  io.WriteCloser

	mu    sync.Mutex // guards the field below
	ended []string   // "instance report", of peers that gave up
}

func startCrowd(t *testing.T) *crowd {
	t.Helper()
	program := filepath.Join(t.TempDir(), "crowd")
	out, err := exec.Command("go", "build", "-o", program,
		"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest/crowd").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	lines, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &crowd{T: t, in: in, pid: cmd.Process.Pid}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(lines); s.Scan(); {
			c.mu.Lock()
			c.ended = append(c.ended, s.Text())
			c.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-read
		require.NoError(t, cmd.Wait())
	})
	return c
}

func (c *crowd) add(i wire.Invocation) {
	line, err := json.Marshal(i)
	require.NoError(c, err)
	_, err = fmt.Fprintf(c.in, "%s\n", line)
	require.NoError(c, err)
}

func (c *crowd) gaveUp() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// A restarting relay is run again with the same port, identity, key and instances.
type restarting struct {
	*testing.T
	config Config
	count  int
	stop   func() // ends the relay, of which some may be left for a moment
}

func (r *restarting) start() *Relay {
	r.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	dir, err := os.MkdirTemp("", "ld") // the one before may be in use yet
	require.NoError(r, err)
	r.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.config.Dir = dir
	var relay *Relay
	r.eventually(func() error {
		relay, err = New(r.config, &recorder{downs: map[string]error{}, reports: map[string]*wire.Report{}}, log)
		return err
	})
	for n := range r.count {
		relay.Expect(relays.Expectation{Instance: instanceName(n), Function: "web", Endpoint: fmt.Sprintf("web/%04d", n), Expires: time.Now().Add(time.Hour)})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	r.config.Address, r.stop = relay.Addr().String(), cancel
	r.Cleanup(func() {
		cancel()
		require.NoError(r, <-done)
	})
	return relay
}

func (r *restarting) eventually(try func() error) {
	r.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		require.True(r, time.Now().Before(deadline), "%v", err)
	}
}

// peersVariable says how many peers dial again, for measuring; docs/decisions.md has numbers. The race detector makes
// handshakes ten times as slow, so that fewer show the same.
const peersVariable = "CROWD_PEERS"

// A relay that is started again is dialled by all its peers at once, from behind one address and with full TLS handshakes:
// all come up, and none gives up.
func TestLongThousandsDialAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of handshakes")
	}
	count, err := strconv.Atoi(cmp.Or(os.Getenv(peersVariable), "300"))
	require.NoError(t, err)
	r := newRestarting(t, count)
	relay, c := r.start(), startCrowd(t)
	for n := range count { // one after the other: how they come up at first is not what is tested
		c.add(r.invocation(relay, instanceName(n)))
		r.eventuallyUp(relay, n-4, c)
	}
	r.eventuallyUp(relay, count, c)
	r.stop()
	relay = r.start()
	began, relayBusy, crowdBusy := time.Now(), processor(t, os.Getpid()), processor(t, c.pid)
	r.eventuallyUp(relay, count, c)
	require.Empty(t, c.gaveUp())
	t.Logf("%d peers in %v; the relay's processor time %v, the peers' %v; %d connections", count, time.Since(began).Round(time.Millisecond),
		processor(t, os.Getpid())-relayBusy, processor(t, c.pid)-crowdBusy, relay.Stats().Accepted)
}

func instanceName(n int) string { return fmt.Sprint("i-", n) }

func newRestarting(t *testing.T, count int) *restarting {
	ca, err := newAuthority()
	require.NoError(t, err)
	identity := operators(t, ca)
	return &restarting{T: t, count: count, config: Config{
		Address: "127.0.0.1:0", TLS: TLSFiles, Identity: func() Identity { return identity },
		TunnelWait: patience, MaxConnections: 4 * count, Key: token.NewKey(),
	}}
}

func (r *restarting) invocation(relay *Relay, id string) wire.Invocation {
	return wire.Invocation{
		Version: wire.Version, Instance: id, Function: "web", Token: r.config.Key.Mint("web", id, time.Now().Add(time.Hour)),
		Relays: []wire.Relay{relay.Advertised()}, Concurrency: 10, DialTimeout: wire.DefaultDialTimeout, DrainLimit: wire.Millis(time.Second),
	}
}

func (r *restarting) eventuallyUp(relay *Relay, n int, c *crowd) {
	r.Helper()
	for deadline := time.Now().Add(2 * patience); relay.Stats().Up < int64(n); time.Sleep(time.Millisecond) {
		if s := relay.Stats(); time.Now().After(deadline) || len(c.gaveUp()) > 0 {
			require.Failf(r, "not all are up", "%d of %d; %d strangers, %d connections accepted, dropped: %v; %d gave up: %.300q",
				s.Up, n, s.Strangers, s.Accepted, s.Dropped, len(c.gaveUp()), strings.Join(c.gaveUp(), "; "))
		}
	}
}

// processor is the time that a process has computed.
func processor(t *testing.T, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	var ticks int
	for _, field := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
