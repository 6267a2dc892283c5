package program

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheFirstSignalStopsAndTheSecondForces(t *testing.T) {
	signals := make(chan os.Signal)
	defer close(signals)
	stop, force := interrupts(signals)
	signals <- syscall.SIGHUP
	require.NoError(t, stop.Err(), "a terminal that closes ends nothing")
	signals <- syscall.SIGTERM
	signals <- syscall.SIGTERM // at once: the first one again
	<-stop.Done()
	require.NoError(t, force.Err())
	time.Sleep(2 * sameSignal)
	signals <- os.Interrupt
	<-force.Done()
}

// A forced end leaves no process, and waits for none that would not hear of a gentle one.
func TestAForcedEndLeavesNoProcess(t *testing.T) {
	stop, stopped := context.WithCancel(t.Context())
	defer stopped()
	force, forced := context.WithCancel(t.Context())
	dir := t.TempDir()
	script := `trap "" TERM; (trap "" TERM; while :; do sleep 0.02; done) & echo $! > "$1/started"; mv "$1/started" "$1/child"; wait`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run.sh"), []byte(script), 0o600))
	config := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte("functions: [{name: stubborn, dir: "+dir+`, command: [sh, run.sh, `+dir+`], versions: [
		{name: "1", provisioned_concurrency: 1}]}]`), 0o600))
	ended := make(chan error, 1)
	go func() {
		ended <- run(stop, force, []string{"run", "--address", "127.0.0.1:0", "--config", config}, nil, "", io.Discard, io.Discard)
	}()
	var child int
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "child"))
		if err != nil {
			return false
		}
		child, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	forced()
	require.Eventually(t, func() bool { return syscall.Kill(child, 0) == syscall.ESRCH }, 10*time.Second, 5*time.Millisecond)
	stopped()
	require.NoError(t, <-ended)
}
