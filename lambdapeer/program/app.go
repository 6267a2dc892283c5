package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/variables"
)

// killAfter is how long the app may take to end after it was told to.
const killAfter = 10 * time.Second

// exitError makes lambdapeer end with the app's exit status.
type exitError struct {
	code int
}

func (e *exitError) Error() string { return fmt.Sprintf("the app ended with status %d", e.code) }

// app is the wrapped server's process. It stays in our process group, so that what freezes or ends the group affects both.
type app struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	err   error         // of Wait; read after ended
}

func startApp(command []string, port string) (*app, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = appEnv(os.Environ(), port)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the app: %w", err)
	}
	a := &app{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		a.err = cmd.Wait()
	}()
	return a, nil
}

// appEnv removes our token, under each of its names, from the app's environment, and sets the expected port in PORT.
func appEnv(environ []string, port string) []string {
	hidden := []string{lifecycle.TokenVar, variables.Old(lifecycle.TokenVar), plainPortVar}
	env := make([]string, 0, len(environ)+1)
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); !slices.Contains(hidden, name) {
			env = append(env, entry)
		}
	}
	return append(env, plainPortVar+"="+port)
}

// how describes how the app ended: "exit status 1", "signal: killed".
func (a *app) how() string {
	if a.err != nil {
		return a.err.Error()
	}
	return "exit status 0"
}

// result is the error that makes lambdapeer end as the app did: nil for status 0, and 128+n for signal n, as in a shell.
func (a *app) result() error {
	var exit *exec.ExitError
	if !errors.As(a.err, &exit) {
		return a.err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &exitError{code: 128 + int(status.Signal())}
	}
	return &exitError{code: exit.ExitCode()}
}
