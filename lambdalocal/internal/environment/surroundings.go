package environment

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/process"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/sandbox"
)

// listen opens the port of the APIs.
func (e *Environment) listen() (net.Listener, error) {
	if e.inside != nil {
		return e.inside.Listen(sandbox.RuntimeAPI)
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// hangUp frees the port of a listener that is about to be closed. Closing alone frees it only when no process has the socket any
// more, and a process that is being started for another environment has it until its program is loaded.
func hangUp(l net.Listener) {
	if tcp, ok := l.(*net.TCPListener); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
		}
	}
}

// dialer connects to servers in the environment.
func (e *Environment) dialer() func(ctx context.Context, address string) (net.Conn, error) {
	if e.inside != nil {
		return e.inside.Dial
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
}

// enter is nil if there is nothing to enter.
func (e *Environment) enter() func() error {
	if e.inside == nil {
		return nil
	}
	return e.inside.Enter
}

// confine makes a process start within the limits, if there are any.
func (e *Environment) confine(s *process.Spec) {
	if e.limits != nil {
		s.Group, s.Within = e.limits.Folder(), e.limits.Within
	}
}

func (e *Environment) outOfMemory() bool { return e.limits != nil && e.limits.OutOfMemory() }

// dir is the function's folder as its processes see it.
func (e *Environment) dir() string {
	if e.inside != nil {
		return sandbox.TaskRoot
	}
	return e.cfg.Dir
}

// outside makes a path absolute that leads out of the function's folder to something that exists: in an enclosure the folder is at
// another place.
func (e *Environment) outside(arg string) string {
	if e.inside == nil || !strings.HasPrefix(arg, "..") {
		return arg
	}
	path := filepath.Join(e.cfg.Dir, arg)
	if _, err := os.Stat(path); err != nil {
		return arg
	}
	return path
}
