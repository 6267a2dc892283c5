package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/load/procstat"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

const thousand = 1000

// A thousand instances of one slot each behind one Envoy with two workers. Control plane and peers are processes of their
// own, built without the race detector: what is measured is theirs, and the detector has room for 8,128 goroutines only.
func TestLongAThousandInstances(t *testing.T) {
	c := startCrowd(t)
	c.peers(thousand)
	c.await("all are ready", func(i instanceStatus) bool { return i.State == "ready" })
	pushes := c.pushes()
	t.Logf("%v pushes of endpoints for %d instances", pushes, thousand)
	require.Less(t, pushes, float64(thousand/4), "a burst of instances must become few pushes")

	release := c.holdRequests(thousand)
	c.await("each has exactly one request, by lease and by its own count", func(i instanceStatus) bool {
		return i.InFlight == 1 && i.Reported == 1
	})
	for _, status := range release() {
		require.Equal(t, http.StatusOK, status)
	}
	c.await("all are idle", func(i instanceStatus) bool { return i.InFlight == 0 && i.Reported == 0 })

	const watched = 4 * time.Second
	before := c.controlCPU()
	time.Sleep(watched) // this is the measurement, not a wait for a state
	spent := c.controlCPU() - before
	t.Logf("idle control plane: %v of CPU in %v", spent, watched)
	require.Less(t, spent, watched/20, "CPU time of an idle control plane")
}

// crowd is a control plane in a process of its own with its Envoy.
type crowd struct {
	t       *testing.T
	binary  string // of Envoy
	dir     string
	front   string
	admin   string
	relay   string
	token   string
	control *exec.Cmd
}

func startCrowd(t *testing.T) *crowd {
	binary := envoytest.Binary(t)
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &crowd{t: t, binary: binary, dir: dir, admin: freeAddress(t), relay: freeAddress(t), token: filepath.Join(dir, "token")}
	require.NoError(t, os.WriteFile(c.token, []byte("a token for a thousand peers"), 0o600))
	config := filepath.Join(dir, "controlplane.yaml")
	require.NoError(t, os.WriteFile(config, []byte(c.config()), 0o600))
	c.control = c.start("cmd/lambda-dispatch", nil, "run", config)
	require.Eventually(t, func() bool { return c.get("/healthz", nil) == nil }, controlplanetest.Patience, 10*time.Millisecond)
	c.startEnvoy()
	return c
}

func (c *crowd) config() string {
	return fmt.Sprintf(`
state_dir: %s
listeners: [{name: front, address: 127.0.0.1:0}]
admin: {address: %q}
relay: {address: %q, tls: "off"}
log: {level: warn}
functions:
- name: web
  provider: static
  static: {token_file: %s}
  routes: [{path: /}]
  scaling: {concurrency: 1, max: %d}
`, filepath.Join(c.dir, "s"), c.admin, c.relay, c.token, thousand)
}

func (c *crowd) startEnvoy() {
	ctx, cancel := context.WithTimeout(c.t.Context(), controlplanetest.Patience)
	defer cancel()
	process, err := envoy.Start(context.Background(), envoy.Options{
		Binary: c.binary, StateDir: filepath.Join(c.dir, "s"), AdminAddress: "127.0.0.1:0", Concurrency: 2,
	})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { process.Stop(5 * time.Second) })
	require.NoError(c.t, process.Ready(ctx))
	listeners, err := process.Listeners(ctx)
	require.NoError(c.t, err)
	c.front = listeners["front"]
}

// start builds one of the project's programs without the race detector and runs it until the test ends.
func (c *crowd) start(folder string, env []string, args ...string) *exec.Cmd {
	binary := filepath.Join(c.dir, filepath.Base(folder))
	out, err := exec.Command("go", "build", "-o", binary, "github.com/lambda-dispatch/lambda-dispatch/"+folder).CombinedOutput()
	require.NoError(c.t, err, "%s", out)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	require.NoError(c.t, cmd.Start())
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(controlplanetest.Patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
	})
	return cmd
}

// peers runs many peers in one process. Their handler answers when the request's body has ended.
func (c *crowd) peers(count int) {
	c.start("bench", []string{
		"LAMBDA_DISPATCH_PEER_RELAY=http://" + c.relay, "LAMBDA_DISPATCH_PEER_FUNCTION=web", "LAMBDA_DISPATCH_PEER_TOKEN_FILE=" + c.token,
	}, "peers", strconv.Itoa(count))
}

type instanceStatus struct {
	State    string `json:"state"`
	InFlight int    `json:"in_flight"`
	Reported int    `json:"reported_in_flight"`
}

// await polls until there are a thousand instances and the condition holds for each of them.
func (c *crowd) await(what string, ok func(instanceStatus) bool) {
	c.t.Helper()
	deadline := time.Now().Add(controlplanetest.Patience)
	for {
		var list struct {
			Instances []instanceStatus `json:"instances"`
		}
		require.NoError(c.t, c.get("/api/v1/instances", &list))
		count := 0
		for _, i := range list.Instances {
			if ok(i) {
				count++
			}
		}
		if count == thousand && len(list.Instances) == thousand {
			return
		}
		require.True(c.t, time.Now().Before(deadline), "%s: %d of %d instances", what, count, len(list.Instances))
		time.Sleep(50 * time.Millisecond) // between polls
	}
}

func (c *crowd) get(path string, into any) error {
	body, err := c.read(path)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func (c *crowd) read(path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

var endpointPushes = regexp.MustCompile(`(?m)^lambda_dispatch_xds_pushes_total\{type="eds"\} (\S+)$`)

// pushes is how many updates of endpoints Envoy was sent.
func (c *crowd) pushes() float64 {
	body, err := c.read("/metrics")
	require.NoError(c.t, err)
	m := endpointPushes.FindSubmatch(body)
	require.NotNil(c.t, m, "%s", body)
	n, err := strconv.ParseFloat(string(m[1]), 64)
	require.NoError(c.t, err)
	return n
}

// holdRequests sends requests whose bodies stay open. release ends them and returns the status of each, 0 for a failure.
func (c *crowd) holdRequests(count int) (release func() []int) {
	client := controlplanetest.Client(c.t, controlplanetest.HTTP2)
	open := make(chan struct{})
	statuses := make([]int, count)
	var asking sync.WaitGroup
	for n := range count {
		asking.Go(func() { statuses[n] = c.hold(client, open) })
	}
	return func() []int {
		close(open)
		asking.Wait()
		return statuses
	}
}

// hold sends one request and ends its body when open is closed.
func (c *crowd) hold(client *http.Client, open <-chan struct{}) (status int) {
	body, end := io.Pipe()
	go func() {
		select {
		case <-open:
		case <-c.t.Context().Done():
		}
		_ = end.Close()
	}()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.front+"/", body)
	if err != nil {
		return 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (c *crowd) controlCPU() time.Duration {
	u, err := procstat.Read(c.control.Process.Pid)
	require.NoError(c.t, err)
	return u.CPU
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
