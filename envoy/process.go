package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Options say how to run Envoy. The zero value of each field but Binary keeps the default.
type Options struct {
	Binary       string    // required: what Find or Fetch returned
	Bootstrap    []byte    // instead of the usual one; then StateDir and AdminAddress say nothing
	StateDir     string    // where the control plane's control.sock is; default DefaultStateDir
	AdminAddress string    // host:port, port 0 for any free one; default DefaultAdminAddress
	Concurrency  int       // worker threads; default one per core
	LogLevel     string    // Envoy's words: trace to off; default warning
	LogPath      string    // a file to append the log to; wins over Log
	Log          io.Writer // default: this process's standard error
}

// A Process is an Envoy that Start ran. It dies with the process that started it.
type Process struct {
	cmd    *exec.Cmd
	dir    string // scratch: the bootstrap and the file that tells the admin address
	log    *os.File
	exited chan struct{}
	err    error // how it ended; read it after exited is closed
}

// Start runs Envoy with the bootstrap and returns at once; Ready waits. The caller must Stop it, or Wait for it.
func Start(ctx context.Context, o Options) (*Process, error) {
	if o.Binary == "" {
		return nil, errors.New("start envoy: no binary given")
	}
	config := o.Bootstrap
	if config == nil {
		var err error
		if config, err = Bootstrap(o.StateDir, o.AdminAddress); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "ld-envoy-")
	if err != nil {
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	p := &Process{dir: dir, exited: make(chan struct{})}
	if err := p.start(ctx, o, config); err != nil {
		p.cleanUp()
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	go p.reap()
	return p, nil
}

func (p *Process) start(ctx context.Context, o Options, config []byte) error {
	path := filepath.Join(p.dir, "bootstrap.yaml")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return err
	}
	p.cmd = exec.CommandContext(ctx, o.Binary, o.arguments(path, p.adminFile())...)
	p.cmd.SysProcAttr = sysProcAttr()
	// A canceled context ends Envoy as Stop does, connections cut.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.openLog(o); err != nil {
		return err
	}
	return p.cmd.Start()
}

func (p *Process) openLog(o Options) (err error) {
	out := o.Log
	if out == nil {
		out = os.Stderr
	}
	if o.LogPath != "" {
		if p.log, err = os.OpenFile(o.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		out = p.log
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	return nil
}

// flushMillis is how long a line of the access log may stay in memory. Envoy's default is ten seconds, which are lost with it.
const flushMillis = "1000"

func (o Options) arguments(config, adminFile string) []string {
	level := o.LogLevel
	if level == "" {
		level = "warning"
	}
	// Hot restart would make two Envoys on one host meet in shared memory; they are independent here.
	args := []string{
		"--config-path", config, "--admin-address-path", adminFile, "--log-level", level, "--disable-hot-restart",
		"--file-flush-interval-msec", flushMillis,
	}
	if o.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(o.Concurrency))
	}
	return args
}

func (p *Process) adminFile() string { return filepath.Join(p.dir, "admin") }

func (p *Process) reap() {
	p.err = p.cmd.Wait()
	p.cleanUp()
	close(p.exited)
}

func (p *Process) cleanUp() {
	if p.log != nil {
		_ = p.log.Close()
	}
	_ = os.RemoveAll(p.dir)
}

// Pid is Envoy's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed when Envoy has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Wait blocks until Envoy has ended and tells how.
func (p *Process) Wait() error {
	<-p.exited
	if p.err != nil {
		return fmt.Errorf("envoy: %w", p.err)
	}
	return nil
}

// Stop ends Envoy: SIGTERM, and SIGKILL after the grace. Connections are cut. It returns when the process is gone and is
// harmless twice.
func (p *Process) Stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(grace, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.exited
}
