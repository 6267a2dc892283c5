package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// startTimeout bounds the wait for one part to answer. Machines under load are slow; a part that ends is noticed at once.
const startTimeout = 30 * time.Second

// stopTimeout bounds the end of one part. The control plane lets instances drain for up to 30 s.
const stopTimeout = 40 * time.Second

// pipesFor is how long the output of a part is read when it has ended: its children may hold it open.
const pipesFor = time.Second

// The names of the parts.
const (
	lambdalocal  = "lambdalocal"
	controlPlane = "control plane"
	envoyProxy   = "Envoy"
)

// A part is a process.
type part struct {
	name  string
	words *lastWords
	stop  func(ctx context.Context) // by force when ctx ends
	done  <-chan struct{}
	end   func() error // how it ended; called when done is closed
}

// ended is the error of a part that ended when it should not have.
func (p *part) ended(when string) error {
	how, failed := "exit status 0", new(exec.ExitError)
	if errors.As(p.end(), &failed) {
		how = failed.Error()
	}
	return fmt.Errorf("%s ended %s (%s)%s", p.name, when, how, p.words.end())
}

// run runs a command in a process group of its own, so that Ctrl-C reaches only this program, which stops the parts in order.
func (s *Stack) run(name string, cmd *exec.Cmd, log io.Writer) error {
	one := &part{name: name, words: &lastWords{log: log}}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = one.words, one.words, pipesFor
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	done := make(chan struct{})
	var end error // written before done is closed
	go func() {
		defer close(done)
		end = cmd.Wait()
	}()
	one.done, one.end = done, func() error { return end }
	one.stop = func(ctx context.Context) { terminate(ctx, cmd.Process, done) }
	s.add(one)
	return nil
}

func (s *Stack) add(one *part) {
	s.parts = append(s.parts, one)
	go func() {
		<-one.done
		s.failed <- one
	}()
}

func (s *Stack) stop(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for _, one := range s.parts {
		if one.name == name {
			one.stop(ctx)
		}
	}
}

// terminate asks a process to end, and insists when ctx ends.
func terminate(ctx context.Context, process *os.Process, done <-chan struct{}) {
	_ = process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-ctx.Done():
		_ = process.Kill()
		<-done
	}
}

// wait polls until the part that was started last answers, one ends, or it takes too long.
func (s *Stack) wait(ctx context.Context, ready func() error) error {
	deadline := time.After(startTimeout)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case ended := <-s.failed:
			return ended.ended("during the start")
		case <-deadline:
			last := s.parts[len(s.parts)-1]
			return fmt.Errorf("%s did not answer within %v: %w%s", last.name, startTimeout, err, last.words.end())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func listens(address string) func() error {
	return func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answers asks for a 200. The error of another answer has the beginning of what it says.
func answers(url string) func() error {
	client := &http.Client{Timeout: time.Second} // whoever has taken the port may never answer
	return func() error {
		response, err := client.Get(url)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			text, err := io.ReadAll(io.LimitReader(response.Body, 2000))
			return errors.Join(fmt.Errorf("%s: %s", response.Status, text), err)
		}
		return nil
	}
}
