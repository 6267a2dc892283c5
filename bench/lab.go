package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// patience bounds every wait for a part to answer.
const patience = time.Minute

// A lab is where systems are built: a directory, an Envoy, and all that was started, which close stops in reverse order.
type lab struct {
	dir     string
	envoy   string // binary
	workers int    // of each Envoy
	cleanup []func()
}

func newLab(ctx context.Context, workers int) (*lab, error) {
	binary, err := envoy.Find(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ldb") // short: unix sockets live below it
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, envoy: binary, workers: workers}
	l.cleanup = append(l.cleanup, func() { _ = os.RemoveAll(dir) })
	return l, nil
}

func (l *lab) close() {
	for n := len(l.cleanup) - 1; n >= 0; n-- {
		l.cleanup[n]()
	}
	l.cleanup = nil
}

// sub returns a lab of the same Envoy in a folder of its own, to be closed before its parent.
func (l *lab) sub(name string) (*lab, error) {
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return &lab{dir: dir, envoy: l.envoy, workers: l.workers}, nil
}

func (l *lab) write(name, text string) (path string, err error) {
	path = filepath.Join(l.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// A process is a child of the bench.
type process struct {
	name string
	log  string // file with its output
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start runs a command with env added to this process's environment, until close.
func (l *lab) start(name string, env []string, command string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(l.dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own copy
	p.cmd = exec.Command(command, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	l.cleanup = append(l.cleanup, p.stop)
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks, and insists after a while. It is harmless twice.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// until polls check until it gives nil. An end of the process, nil for none, is noticed at once.
func until(ctx context.Context, what string, p *process, check func() error) error {
	var ended <-chan struct{}
	if p != nil {
		ended = p.done
	}
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s has ended:\n%s", p.name, text)
		case <-deadline:
			return fmt.Errorf("%s: not within %v: %w", what, patience, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// freeAddress picks a port on loopback that nobody uses.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func listens(address string) func() error {
	return func() error {
		conn, err := net.Dial("tcp", address)
		return errors.Join(err, closeIf(conn))
	}
}

func closeIf(conn net.Conn) error {
	if conn == nil {
		return nil
	}
	return conn.Close()
}
