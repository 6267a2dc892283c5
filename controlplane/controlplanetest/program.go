package controlplanetest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Previous returns the path of a program of a build before this one: lambdapeer, controlplane, or the test app with its library, of the
// commit in testdata/previous-commit of the package that asks; lambda-dispatch, of that in testdata/previous-cell-commit, when the relay
// was a part of its own already. It skips the test where make previous has not built it.
func Previous(t testing.TB, program string) string {
	t.Helper()
	file := "testdata/previous-commit"
	if program == "lambda-dispatch" {
		file = "testdata/previous-cell-commit"
	}
	commit, err := os.ReadFile(file)
	require.NoError(t, err)
	path, err := filepath.Abs(filepath.Join("..", "..", ".tools", "previous-"+strings.TrimSpace(string(commit)), program))
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no build of commit %.12s: make previous makes it where git has that commit (not in a shallow clone)", commit)
	}
	return path
}

// startProgram runs Options.Program as the control plane, with a file that holds what every build of it understands. It
// knows of each function's settings name, timeout, memory, concurrency, minimum, maximum and ceiling only.
func (s *Stack) startProgram(program string) {
	s.Admin, s.Relay = freeAddress(s.t), freeAddress(s.t)
	file := s.writeFile("controlplane", s.programFile(s.Admin))
	log, err := os.Create(filepath.Join(s.dir, "controlplane.log"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { s.showOnFailure("controlplane", log) })
	s.crash = make(chan struct{})
	s.stopControlPlane = s.background("controlplane", func(ctx context.Context) error {
		for {
			cmd := exec.CommandContext(ctx, program, "run", file)
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
			cmd.Stdout, cmd.Stderr = log, log
			cmd.Env = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
			if err := cmd.Start(); err != nil {
				return err
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-s.crash:
				_ = cmd.Process.Kill()
				<-ended
				s.crash <- struct{}{}
				continue
			case err := <-ended:
				if err != nil && (ctx.Err() == nil || cmd.ProcessState.ExitCode() != 0) {
					return err
				}
				return nil
			}
		}
	})
	s.awaitProgram()
}

func (s *Stack) awaitProgram() {
	s.Eventually("control plane is up", func() error {
		response, err := http.Get("http://" + s.Admin + "/healthz")
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
}

// programFile ends in the section about the relay, to which more may be added.
func (s *Stack) programFile(admin string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `state_dir: %s
listeners: [{name: front, address: "127.0.0.1:0"}]
admin: {address: %q}
aws: {region: eu-central-1, endpoint: %q}
log: {level: debug}
functions:
`, s.Config.StateDir, admin, s.Config.AWS.Endpoint)
	for _, f := range s.Config.Functions {
		fmt.Fprintf(&b, `- name: %s
  routes: [{path: /%[1]s, strip_prefix: true}]
  lambda: {timeout: %s, memory_mb: %d}
  scaling: {concurrency: %d, min: %d, max: %d, dollars_per_hour: %v, preference: cost}
`, f.Name, f.Lambda.Timeout, f.Lambda.MemoryMB, f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.Max, f.Scaling.DollarsPerHour)
	}
	fmt.Fprintf(&b, "relay:\n  address: %q\n", s.Relay)
	return b.String()
}

// CrashProgram kills Options.Program, and returns when it has been started again.
func (s *Stack) CrashProgram() {
	s.crash <- struct{}{}
	<-s.crash
	s.awaitProgram()
}
