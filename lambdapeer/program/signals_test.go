package program

import (
	"bufio"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A program is the binary, running.
type program struct {
	*exec.Cmd
	t     *testing.T
	said  *bufio.Scanner // standard output, which is the app's
	ended chan error
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(build(t), args...), t: t, ended: make(chan error, 1)}
	p.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	p.said = bufio.NewScanner(out)
	require.NoError(t, p.Start())
	t.Cleanup(func() { _ = p.Process.Kill() }) // in vain, unless the test has failed
	return p
}

func (p *program) says(line string) {
	p.t.Helper()
	require.True(p.t, p.said.Scan())
	require.Equal(p.t, line, p.said.Text())
}

func (p *program) signal(sig syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(sig))
}

// code waits for the end.
func (p *program) code() int {
	p.t.Helper()
	go func() { p.ended <- p.Wait() }()
	select {
	case err := <-p.ended:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		require.NoError(p.t, err)
		return 0
	case <-time.After(killAfter / 2):
		require.FailNow(p.t, "the program does not end")
		return 0
	}
}

func TestASecondSignalEndsTheWrapperOfAStubbornApp(t *testing.T) {
	p := startProgram(t, "--", "sh", "-c", `trap 'echo told' INT; echo runs; while :; do sleep 0.02; done`)
	p.says("runs")
	p.signal(syscall.SIGINT)
	p.says("told")
	time.Sleep(2 * sameSignal) // sooner it would count as the first one
	p.signal(syscall.SIGTERM)
	require.Equal(t, 128+int(syscall.SIGTERM), p.code())
}

func TestASignalThatComesTwiceIsOne(t *testing.T) {
	p := startProgram(t, "--", "sh", "-c", `trap 'echo ends; exit 3' TERM; echo runs; while :; do sleep 0.02; done`)
	p.says("runs")
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	p.says("ends")
	require.Equal(t, 3, p.code())
}

func TestSIGHUPReachesTheAppAndDoesNotEndTheWrapper(t *testing.T) {
	p := startProgram(t, "--", "sh", "-c", `trap 'echo hangup' HUP; trap 'exit 0' TERM; echo runs; while :; do sleep 0.02; done`)
	p.says("runs")
	p.signal(syscall.SIGHUP)
	p.says("hangup")
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.code())
}

// Kubernetes makes the first of these for Services lambda-dispatch and lambda-dispatch-peer. The token is the peer's alone.
func TestVariablesOfOthersAndOfBefore(t *testing.T) {
	for _, c := range []struct {
		environ  []string
		warnings int
	}{
		{[]string{"LAMBDA_DISPATCH_PORT=tcp://10.96.0.12:7443", "LAMBDA_DISPATCH_PEER_PORT=tcp://10.96.0.12:7443"}, 0},
		{[]string{"LAMBDA_DISPATCH_PORT=8080", "LAMBDA_DISPATCH_TOKEN=secret"}, 2},
	} {
		cmd := exec.Command(build(t), "--", "sh", "-c", `echo "$PORT $LAMBDA_DISPATCH_TOKEN"`)
		cmd.Env = append(c.environ, "PATH=/usr/bin:/bin")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, stderr.String())
		require.Equal(t, "8080 \n", string(out))
		require.Equal(t, c.warnings, strings.Count(stderr.String(), "is an old name"), stderr.String())
	}
}
