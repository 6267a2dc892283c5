package e2e_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

// A second control plane that would be in the way of the first one says so in one line, and does no harm.
func TestASecondControlPlaneIsRefused(t *testing.T) {
	t.Parallel()
	stack := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{siteApp(t, "web", controlplanetest.Library)},
	})
	s := newSite(t, stack, "web", controlplanetest.HTTP1)
	process := s.process()
	for what, c := range map[string]struct {
		set  string
		says []string
	}{
		"state directory": {"state_dir=" + s.Config.StateDir, []string{"state_dir", s.Config.StateDir, "another"}},
		"admin port":      {"admin.address=" + s.Admin, []string{"admin", s.Admin, "in use"}},
		"relay port":      {"relay.address=" + s.Relay, []string{"relay", s.Relay, "in use"}},
	} {
		t.Run(what, func(t *testing.T) {
			said := refusedControlPlane(t, c.set)
			lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(said), "\n"), func(line string) bool {
				return strings.Contains(line, "waiting for it to end") // the log, before it gives up
			})
			require.Len(t, lines, 1, said)
			for _, word := range c.says {
				require.Contains(t, said, word)
			}
		})
	}
	require.Equal(t, process, s.process())
	stack.RestartEnvoy() // over the first one's socket
	require.Equal(t, process, newSite(t, stack, "web", controlplanetest.HTTP1).process())
}

// controlPlane is the program with a configuration file, on ports that are free, unless set says otherwise.
func controlPlane(t *testing.T, ctx context.Context, file string, set ...string) *exec.Cmd {
	t.Helper()
	args := []string{"run"}
	for _, key := range append([]string{
		"state_dir=" + shortDir(t), "admin.address=127.0.0.1:0", "relay.address=127.0.0.1:0",
	}, set...) {
		args = append(args, "--set", key)
	}
	args = append(args, file)
	cmd := exec.CommandContext(ctx, controlplanetest.Build(t, "cmd/lambda-dispatch"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	return cmd
}

// shortDir is short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// refusedControlPlane returns what the program said before it ended with an error.
func refusedControlPlane(t *testing.T, set string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), controlplanetest.Patience)
	defer cancel()
	out, err := controlPlane(t, ctx, os.DevNull, set).CombinedOutput() // a file without functions
	require.NoError(t, ctx.Err(), "it runs: %s", out)
	require.Error(t, err)
	return string(out)
}

// Scenario 47: a port in use, of those that Envoy opens: the control plane's log and /readyz name it. When it is free it serves.
func TestAListenersPortInUse(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	file, dir, admin := filepath.Join(t.TempDir(), "config.yaml"), shortDir(t), "127.0.0.1:"+freePort(t)
	require.NoError(t, os.WriteFile(file, []byte("listeners: [{name: front, address: \""+taken.Addr().String()+"\"}]\n"), 0o600))
	cmd := controlPlane(t, t.Context(), file, "state_dir="+dir, "admin.address="+admin)
	var log strings.Builder
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	ctx, cancel := context.WithTimeout(t.Context(), controlplanetest.Patience)
	defer cancel()
	proxy, err := envoy.Start(ctx, envoy.Options{Binary: binary, StateDir: dir, AdminAddress: "127.0.0.1:0", Log: new(strings.Builder)})
	require.NoError(t, err)
	defer proxy.Stop(time.Second)
	readyz := func() (status int, said string) {
		response, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return 0, ""
		}
		defer func() { _ = response.Body.Close() }()
		text := new(strings.Builder)
		_ = response.Write(text)
		return response.StatusCode, text.String()
	}
	require.Eventually(t, func() bool {
		status, said := readyz()
		return status == http.StatusServiceUnavailable && strings.Contains(said, taken.Addr().String()) && strings.Contains(said, `"offers": 2`)
	}, controlplanetest.Patience, 10*time.Millisecond)
	require.NoError(t, taken.Close())
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + taken.Addr().String())
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusNotFound
	}, controlplanetest.Patience, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		status, said := readyz()
		return status == http.StatusOK && strings.Contains(said, `"refused": []`)
	}, controlplanetest.Patience, time.Millisecond, "Envoy listens a moment before it says so")
	proxy.Stop(time.Second)
	require.Eventually(t, func() bool {
		status, said := readyz()
		return status == http.StatusServiceUnavailable && strings.Contains(said, "no Envoy is connected: the last one left ")
	}, controlplanetest.Patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait())
	require.Contains(t, log.String(), taken.Addr().String())
}
