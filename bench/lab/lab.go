// Package lab is where benches build what they measure: it starts processes, and stops all of them at the end.
package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// Patience bounds every wait for a part to answer.
const Patience = time.Minute

// A Lab is a directory, an Envoy, and all that was started, which Close stops in reverse order.
type Lab struct {
	dir     string
	envoy   string // binary
	workers int    // of each Envoy
	kept    bool   // the directory outlives Close

	mu      sync.Mutex
	cleanup []func()
}

// New makes an empty lab. workers are those of each Envoy.
func New(ctx context.Context, workers int) (*Lab, error) {
	binary, err := envoy.Find(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ldb") // short: unix sockets live below it
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir, envoy: binary, workers: workers}
	l.Defer(func() {
		if !l.kept {
			_ = os.RemoveAll(dir)
		}
	})
	return l, nil
}

// Keep lets the directory outlive Close, and returns its path. It goes before anything is started.
func (l *Lab) Keep() string {
	l.kept = true
	return l.dir
}

// Close stops all that was started, and removes the directory.
func (l *Lab) Close() {
	l.mu.Lock()
	cleanup := l.cleanup
	l.cleanup = nil
	l.mu.Unlock()
	for _, f := range slices.Backward(cleanup) {
		f()
	}
}

// Defer has f called by Close, before whatever was deferred or started earlier is stopped.
func (l *Lab) Defer(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanup = append(l.cleanup, f)
}

// Envoy is the path of its binary, and Workers how many threads each is to have.
func (l *Lab) Envoy() string { return l.envoy }

// Workers is described at Envoy.
func (l *Lab) Workers() int { return l.workers }

// Path is where a file of that name would be.
func (l *Lab) Path(name string) string { return filepath.Join(l.dir, name) }

// Sub returns a lab of the same Envoy in a folder of its own, to be closed before its parent.
func (l *Lab) Sub(name string) (*Lab, error) {
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return &Lab{dir: dir, envoy: l.envoy, workers: l.workers}, nil
}

// Write makes a file, readable by this user only.
func (l *Lab) Write(name, text string) (path string, err error) {
	path = l.Path(name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// A Process is a child of the bench.
type Process struct {
	name string
	log  string // file with its output
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start runs a command with env added to this process's environment, until Close.
func (l *Lab) Start(name string, env []string, command string, args ...string) (*Process, error) {
	p := &Process{name: name, log: l.Path(name + ".log"), done: make(chan struct{})}
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
	l.Defer(p.Stop)
	return p, nil
}

// PID is its id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when it has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Stop sends SIGTERM, and SIGKILL after ten seconds. A second call does nothing.
func (p *Process) Stop() { p.StopWithin(10 * time.Second) }

// StopWithin is Stop with another limit.
func (p *Process) StopWithin(limit time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(limit):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Kill ends it at once, as a crash would, and returns when it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause stops it, and lets it go on after d or when ctx ends.
func (p *Process) Pause(ctx context.Context, d time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	_ = Rest(ctx, d)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
}

// Rest waits for d. The error is that of ctx, if it ends before.
func Rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Until polls check until it gives nil. An end of the process, nil for none, is noticed at once.
func Until(ctx context.Context, what string, p *Process, check func() error) error {
	var ended <-chan struct{}
	if p != nil {
		ended = p.done
	}
	deadline := time.After(Patience)
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
			return fmt.Errorf("%s: not within %v: %w", what, Patience, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// FreeAddresses picks ports on loopback that nobody uses, below those that the kernel gives to clients: a part that starts late, or is
// away for a while, must find its port free.
func FreeAddresses(n int) ([]string, error) {
	var addresses []string
	for tries := 0; len(addresses) < n && tries < 1000; tries++ {
		at := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		l, err := net.Listen("tcp", at)
		if err != nil {
			continue
		}
		defer l.Close() // all at once, so that none is picked twice
		addresses = append(addresses, at)
	}
	if len(addresses) < n {
		return nil, errors.New("no free ports between 20000 and 32000")
	}
	return addresses, nil
}

// Listens checks that somebody accepts connections there.
func Listens(address string) func() error {
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
