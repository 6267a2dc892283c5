// Package process runs child processes, each at the head of a process group of its own, so that the child and whatever
// it starts are signalled, frozen and killed together. Descendants that leave the group are frozen and killed with it.
package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/thread"
)

// outputGrace is how long output may stay open after the group was killed: only a process that left the group can hold it.
const outputGrace = time.Second

// A Spec says what to start.
type Spec struct {
	Argv []string
	Dir  string
	Env  []string
	// Enter is called on the thread that starts the process, which is never used for anything else: it may change what a
	// process inherits from its thread. Argv and Dir are looked up afterwards. Nil: nothing is changed.
	Enter  func() error
	Limits Limits
	// Group is the folder of a control group of version 2 in which the process begins. Nil: in that of this process.
	Group *os.File
	// Within calls start, on Enter's thread, which begins the process. It may change what is inherited until start has returned.
	// An error of its own is one of Start. Nil: nothing is changed.
	Within func(start func() error) error
	// Line is called with each line of standard output and standard error, in order, from one goroutine. Lines beyond
	// 16 KiB arrive in pieces.
	Line func(string)
}

// A Group is a running process group. Its methods may be called from any goroutine and after its end.
type Group struct {
	pid  int
	done chan struct{}
	err  error // valid once done is closed

	mu     sync.Mutex
	frozen []int // other groups, which Freeze stopped
}

// Start starts the process. The kernel kills it when this process dies, however that happens (Linux only).
func Start(spec Spec) (*Group, error) {
	g := &Group{done: make(chan struct{})}
	started := make(chan error, 1)
	if spec.Enter == nil && spec.Within == nil {
		go g.run(spec, started)
	} else {
		thread.Go(func() { g.run(spec, started) })
	}
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %q: %w", spec.Argv[0], err)
	}
	return g, nil
}

// run starts and awaits the child on one locked thread: the parent-death signal follows the thread that forked, so that
// thread must live as long as the child.
func (g *Group) run(spec Spec, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(g.done)
	if spec.Enter != nil {
		if err := spec.Enter(); err != nil {
			started <- err
			return
		}
	}
	out, in, err := os.Pipe()
	if err != nil {
		started <- err
		return
	}
	defer func() { _ = out.Close() }()
	cmd := command(spec, in)
	err = spec.within(cmd.Start) // with limits the child stops before its first instruction
	_ = in.Close()
	if err != nil {
		started <- err
		return
	}
	g.pid = cmd.Process.Pid
	release(g.pid, spec)
	read := make(chan struct{})
	go func() { defer close(read); lines(out, spec.Line) }()
	started <- nil

	g.err = cmd.Wait()
	g.Kill() // what the leader left behind
	_ = out.SetReadDeadline(time.Now().Add(outputGrace))
	<-read
}

func (s Spec) within(start func() error) error {
	if s.Within == nil {
		return start()
	}
	return s.Within(start)
}

func command(spec Spec, output *os.File) *exec.Cmd {
	cmd := exec.Command(spec.Argv[0], spec.Argv[1:]...)
	cmd.Dir, cmd.Env = spec.Dir, spec.Env
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = attributes(spec)
	return cmd
}

func lines(from io.Reader, line func(string)) {
	r := bufio.NewReaderSize(from, 16<<10)
	for {
		text, _, err := r.ReadLine()
		if err != nil {
			return
		}
		line(string(text))
	}
}

// PID is the id of the leader and of the group.
func (g *Group) PID() int { return g.pid }

// Done is closed when the leader has ended, the rest of the group was killed, and all output was delivered.
func (g *Group) Done() <-chan struct{} { return g.done }

// Err says how the leader ended, nil for status 0. It must not be called before Done is closed.
func (g *Group) Err() error { return g.err }

// Freeze stops every process of the group, and the leader's descendants in other groups, until Thaw. Their connections stay open,
// and the kernel acknowledges what arrives (assumed: socket-freeze).
func (g *Group) Freeze() {
	g.signal(syscall.SIGSTOP) // first: what is stopped starts no more
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frozen = g.emigrants()
	signalAll(g.frozen, syscall.SIGSTOP)
}

// Thaw ends a Freeze at once (assumed: invoke-warm). The processes still have their connections (assumed: socket-thaw).
func (g *Group) Thaw() {
	g.mu.Lock()
	signalAll(g.frozen, syscall.SIGCONT)
	g.frozen = nil
	g.mu.Unlock()
	g.signal(syscall.SIGCONT)
}

// Terminate asks the group to end, and thaws it so that it can.
func (g *Group) Terminate() {
	g.signal(syscall.SIGTERM)
	g.Thaw()
}

// Kill ends the group, and the leader's descendants in other groups, frozen or not. It does not wait: see Done.
func (g *Group) Kill() {
	signalAll(g.emigrants(), syscall.SIGKILL) // first: without the leader they are nobody's descendants
	g.signal(syscall.SIGKILL)
}

func (g *Group) signal(sig syscall.Signal) {
	select {
	case <-g.done: // the id may be another process's by now
	default:
		_ = syscall.Kill(-g.pid, sig) // ESRCH: it has ended
	}
}

// emigrants are the other groups that descendants of the leader are in, none after its end.
func (g *Group) emigrants() []int {
	select {
	case <-g.done:
		return nil
	default:
		return emigrants(g.pid)
	}
}

func signalAll(groups []int, sig syscall.Signal) {
	for _, group := range groups {
		_ = syscall.Kill(-group, sig)
	}
}

// ExitReason describes the end of a leader in Lambda's words: "exit status 1", "signal: killed"; empty for status 0.
func (g *Group) ExitReason() string {
	var exit *exec.ExitError
	switch {
	case g.err == nil:
		return ""
	case errors.As(g.err, &exit):
		return exit.String()
	default:
		return g.err.Error()
	}
}
