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

// startRelay starts the relay apart from control planes.
func (s *Stack) startRelay() {
	s.Config.Relay.Apart = true
	cfg := *s.Config
	if s.pair != "" {
		cfg.Functions = nil // which its file need not name
	}
	server, err := controlplane.NewRelay(s.t.Context(), &cfg, s.logger("relay"))
	require.NoError(s.t, err)
	s.Relay, s.relayAdmin = server.RelayAddr(), server.AdminAddr()
	s.stopRelay = s.background("relay", server.Run)
}

// RestartRelay ends the relay in order, with every tunnel, and starts another one in its place.
func (s *Stack) RestartRelay() {
	s.stopRelay()
	s.Config.Relay.Address = s.Relay
	s.startRelay()
}

// A ControlPlane is one of several, in a process of its own.
type ControlPlane struct {
	Admin string // host:port
	stack *Stack
	link  string // to it, with Options.Split and Linked
	cmd   *exec.Cmd
	ended chan struct{}
}

// StartControlPlane starts a control plane beside those that run, and returns when it is alive. It leads, or is a standby.
func (s *Stack) StartControlPlane() *ControlPlane {
	s.t.Helper()
	s.started++
	name := fmt.Sprintf("controlplane-%d", s.started)
	c := &ControlPlane{Admin: freeAddress(s.t), stack: s, ended: make(chan struct{})}
	if s.pair != "" {
		c.link = s.place().Listen
	}
	file := filepath.Join(s.dir, name+".yaml")
	admin, relay := s.Admin, s.Relay
	s.Admin = c.Admin
	text := s.programFile() + "  apart: true\n" + s.splitFile()
	s.Admin, s.Relay = admin, relay
	require.NoError(s.t, os.WriteFile(file, []byte(text), 0o600))
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { s.showOnFailure(name, log) })
	c.cmd = exec.Command(Build(s.t, "cmd/lambda-dispatch"), "run", file)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.Env = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}
	require.NoError(s.t, c.cmd.Start())
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait()
	}()
	s.t.Cleanup(c.Kill)
	if s.Admin == "" {
		s.Admin = c.Admin
	}
	s.Eventually(name+" is alive", func() error { return c.get("/healthz") })
	return c
}

func (c *ControlPlane) get(path string) error {
	response, err := http.Get("http://" + c.Admin + path)
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
	c.stack.Eventually("leads", func() error { return c.get("/readyz") })
	c.stack.Admin = c.Admin
}

// Signal sends the process a signal.
func (c *ControlPlane) Signal(signal os.Signal) { _ = c.cmd.Process.Signal(signal) }

// CutOff lets nothing through between the control plane and Envoy and relay any more, and tells neither. It still reaches its lease.
func (c *ControlPlane) CutOff() {
	c.stack.t.Helper()
	_, err := c.stack.Lambda.AddFault(lambdalocal.Fault{Kind: lambdalocal.FaultLinkSilence, Link: c.link})
	require.NoError(c.stack.t, err)
}

// Kill ends the process at once, as a crash does.
func (c *ControlPlane) Kill() {
	c.Signal(syscall.SIGKILL)
	<-c.ended
}

// Ends waits until the process has ended by itself.
func (c *ControlPlane) Ends() {
	c.stack.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(Patience):
		require.Fail(c.stack.t, "the control plane has not ended")
	}
}

// Stop asks the process to end in order, and waits until it has.
func (c *ControlPlane) Stop() {
	c.stack.t.Helper()
	c.Signal(syscall.SIGTERM)
	c.Ends()
	require.Zero(c.stack.t, c.cmd.ProcessState.ExitCode())
}
