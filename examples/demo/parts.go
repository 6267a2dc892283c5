package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// startTimeout bounds the wait for one part to answer. Machines under load are slow; a part that ends is noticed at once.
const startTimeout = 30 * time.Second

// stopTimeout bounds the end of one part. The control plane lets instances drain for up to 30 s.
const stopTimeout = 40 * time.Second

// The names of the parts.
const (
	lambdalocal  = "lambdalocal"
	controlPlane = "control plane"
	envoyProxy   = "Envoy"
)

// parts are the running processes, in the order in which they were started.
type parts struct {
	running []*part
	failed  chan *part
}

type part struct {
	name string
	log  string                    // file of its output; empty: the terminal
	stop func(ctx context.Context) // by force when ctx ends
	done <-chan struct{}
}

// lastWords is the end of the part's output, for an error about it: the file goes with the workspace.
func (p *part) lastWords() string {
	const most = 12
	if p.log == "" {
		return ": see its output above"
	}
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ": " + err.Error()
	}
	if len(text) == 0 {
		return ". It had printed nothing"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return ". The end of its output:\n" + strings.Join(lines[max(len(lines)-most, 0):], "\n")
}

// startAll starts Lambda's stand-in, the control plane and Envoy, each when the one before it answers.
func startAll(ctx context.Context, p *parts, w *workspace) error {
	binary, err := envoy.Find(ctx)
	if err != nil {
		return err
	}
	local := exec.Command("build/lambdalocal", "run", "--config", w.path("lambdalocal.yaml"))
	if err := p.start(lambdalocal, local, w.path("lambdalocal.log")); err != nil {
		return err
	}
	if err := p.wait(ctx, listens(w.lambda)); err != nil {
		return err
	}
	control := exec.Command("build/lambda-dispatch", "run", "--set", "state_dir="+w.dir, "--set", "admin.address="+w.admin,
		"--set", "relay.address="+w.relay, w.path("controlplane.yaml"))
	if err := p.start(controlPlane, control, ""); err != nil {
		return err
	}
	if err := p.wait(ctx, answers("http://"+w.admin+"/healthz")); err != nil {
		return err
	}
	if err := p.startEnvoy(ctx, binary, w); err != nil {
		return err
	}
	return p.wait(ctx, answers("http://"+w.admin+"/readyz"))
}

// start runs a command in a process group of its own, so that Ctrl-C reaches only the demo, which stops the parts in
// order. Output goes to a log file, or to the terminal when path is empty.
func (p *parts) start(name string, cmd *exec.Cmd, path string) error {
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if path != "" {
		log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer log.Close() // the child has its own copy
		cmd.Stdout, cmd.Stderr = log, log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	p.add(&part{name: name, log: path, done: done, stop: func(ctx context.Context) { terminate(ctx, cmd.Process, done) }})
	return nil
}

func (p *parts) startEnvoy(ctx context.Context, binary string, w *workspace) error {
	log := w.path("envoy.log")
	process, err := envoy.Start(context.WithoutCancel(ctx), envoy.Options{
		Binary: binary, StateDir: w.dir, AdminAddress: w.envoyAdmin, LogPath: log,
	})
	if err != nil {
		return err
	}
	p.add(&part{name: envoyProxy, log: log, done: process.Exited(), stop: func(context.Context) { process.Stop(5 * time.Second) }})
	return nil
}

func (p *parts) add(one *part) {
	if p.failed == nil {
		p.failed = make(chan *part, 8)
	}
	p.running = append(p.running, one)
	go func() {
		<-one.done
		p.failed <- one
	}()
}

// ended delivers the parts that have ended.
func (p *parts) ended() <-chan *part { return p.failed }

// stopAll stops the control plane first: it refuses new requests, and lets those in flight finish, for which Envoy and the
// instances must still be there. Then Envoy, and at last lambdalocal, which ends the functions' processes. When force ends,
// the control plane waits for no request any more; the others need moments, and are never cut short, so that nothing stays.
func (p *parts) stopAll(force context.Context) {
	p.stop(force, controlPlane)
	p.stop(context.Background(), envoyProxy)
	p.stop(context.Background(), lambdalocal)
}

func (p *parts) stop(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for _, one := range p.running {
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
func (p *parts) wait(ctx context.Context, ready func() bool) error {
	deadline := time.After(startTimeout)
	for !ready() {
		select {
		case ended := <-p.failed:
			return fmt.Errorf("%s ended during the start%s", ended.name, ended.lastWords())
		case <-deadline:
			last := p.running[len(p.running)-1]
			return fmt.Errorf("%s did not answer within %v%s", last.name, startTimeout, last.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func listens(address string) func() bool {
	return func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}
}

func answers(url string) func() bool {
	client := &http.Client{Timeout: time.Second} // whoever has taken the port may never answer
	return func() bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
}
