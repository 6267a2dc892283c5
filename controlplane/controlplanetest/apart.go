package controlplanetest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// startRelay starts the relay apart from control planes: a process of Options.Build, or the code under test.
func (s *Stack) startRelay() {
	s.Config.Relay.Apart = true
	if s.build != "" {
		s.startRelayOfBuild()
		return
	}
	cfg := *s.Config
	if s.pair != "" {
		cfg.Functions = nil // which its file need not name
	}
	server, err := controlplane.NewRelay(s.t.Context(), &cfg, s.logger("relay"))
	require.NoError(s.t, err)
	s.Relay, s.relayAdmin = server.RelayAddr(), server.AdminAddr()
	s.stopRelay = s.background("relay", server.Run)
}

// startRelayOfBuild returns when the relay is alive.
func (s *Stack) startRelayOfBuild() {
	if s.Relay == "" {
		s.Relay = freeAddress(s.t)
	}
	if s.relayAdmin == "" {
		s.relayAdmin = freeAddress(s.t)
	}
	file := s.writeFile("relay", s.programFile(freeAddress(s.t))+fmt.Sprintf("  apart: true\n  admin: %q\n", s.relayAdmin))
	relay := s.process("relay", s.build, "relay", file)
	s.stopRelay = relay.Stop
	s.Eventually("the relay is alive", func() error { return get(s.relayAdmin, "/healthz") })
}

// RestartRelay ends the relay in order, with every tunnel, and starts another one in its place.
func (s *Stack) RestartRelay() {
	s.stopRelay()
	s.Config.Relay.Address = s.Relay
	s.startRelay()
}

// Use makes relays and control planes that start from now on those of a build: the path of its lambda-dispatch.
func (s *Stack) Use(build string) { s.build = build }

// A ControlPlane is one of several, in a process of its own.
type ControlPlane struct {
	*process
	Admin string // host:port
	link  string // to it, with Options.Split and Linked
}

// StartControlPlane starts a control plane beside those that run, and returns when it is alive. It leads, or is a standby.
func (s *Stack) StartControlPlane() *ControlPlane {
	s.t.Helper()
	s.started++
	name := fmt.Sprintf("controlplane-%d", s.started)
	c := &ControlPlane{Admin: freeAddress(s.t)}
	if s.pair != "" {
		c.link = s.place().Listen
	}
	build := s.build
	if build == "" {
		build = Build(s.t, "cmd/lambda-dispatch")
	}
	file := s.writeFile(name, s.programFile(c.Admin)+"  apart: true\n"+s.splitFile())
	c.process = s.process(name, build, "run", file)
	if s.Admin == "" {
		s.Admin = c.Admin
	}
	s.Eventually(name+" is alive", func() error { return get(c.Admin, "/healthz") })
	return c
}

// writeFile writes the configuration of a process, and returns where.
func (s *Stack) writeFile(name, text string) (path string) {
	path = filepath.Join(s.dir, name+".yaml")
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// A process runs until it ends or its test does.
type process struct {
	stack *Stack
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
}

// process starts a program of ours. Its log is shown if the test fails.
func (s *Stack) process(name, program string, args ...string) *process {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { s.showOnFailure(name, log) })
	p := &process{stack: s, name: name, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
	require.NoError(s.t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	s.t.Cleanup(p.Kill)
	return p
}

// get asks for a path of an admin address, and expects 200.
func get(admin, path string) error {
	response, err := http.Get("http://" + admin + path)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// Leads waits until the control plane leads and Envoy has what it needs. The stack's admin address is its own from then on.
func (c *ControlPlane) Leads() {
	c.stack.t.Helper()
	c.stack.Eventually("leads", func() error { return get(c.Admin, "/readyz") })
	c.stack.Admin = c.Admin
}

// Leading tells whether it leads now.
func (c *ControlPlane) Leading() bool { return get(c.Admin, "/readyz") == nil }

// CutOff lets nothing through between the control plane and Envoy and relay any more, and tells neither. It still reaches its lease.
func (c *ControlPlane) CutOff() {
	c.stack.t.Helper()
	_, err := c.stack.Lambda.AddFault(lambdalocal.Fault{Kind: lambdalocal.FaultLinkSilence, Link: c.link})
	require.NoError(c.stack.t, err)
}

// Signal sends the process a signal.
func (p *process) Signal(signal os.Signal) { _ = p.cmd.Process.Signal(signal) }

// Kill ends the process at once, as a crash does.
func (p *process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Ends waits until the process has ended by itself.
func (p *process) Ends() {
	p.stack.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		require.Fail(p.stack.t, p.name+" has not ended")
	}
}

// HasEnded tells whether the process has ended by itself.
func (p *process) HasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Stop asks the process to end in order, and waits until it has.
func (p *process) Stop() {
	p.stack.t.Helper()
	p.Signal(syscall.SIGTERM)
	p.Ends()
	require.Zero(p.stack.t, p.cmd.ProcessState.ExitCode())
}
