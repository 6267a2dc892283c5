package main

import (
	"context"
	"fmt"
	"io"
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

// parts are the running processes, in the order in which they were started.
type parts struct {
	running []*part
	failed  chan string
}

type part struct {
	name string
	stop func()
	done <-chan struct{}
}

// startAll starts Lambda's stand-in, the control plane and Envoy, each when the one before it answers.
func startAll(ctx context.Context, p *parts, w *workspace, out io.Writer) error {
	binary, err := envoy.Find(ctx)
	if err != nil {
		return err
	}
	for _, note := range w.notes {
		fmt.Fprintln(out, "note:", note)
	}
	local := exec.Command("build/lambdalocal", "run", "--config", w.path("lambdalocal.yaml"))
	if err := p.start("lambdalocal", local, w.path("lambdalocal.log")); err != nil {
		return err
	}
	if err := p.wait(ctx, "lambdalocal", listens(w.lambda)); err != nil {
		return err
	}
	control := exec.Command("build/controlplane", "run", "--set", "state_dir="+w.dir, "--set", "admin.address="+w.admin,
		"--set", "relay.address="+w.relay, w.path("controlplane.yaml"))
	if err := p.start("control plane", control, ""); err != nil {
		return err
	}
	if err := p.wait(ctx, "the control plane", answers("http://"+w.admin+"/healthz")); err != nil {
		return err
	}
	if err := p.startEnvoy(ctx, binary, w); err != nil {
		return err
	}
	return p.wait(ctx, "Envoy", answers("http://"+w.admin+"/readyz"))
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
	p.add(&part{name: name, done: done, stop: func() { terminate(cmd.Process, done) }})
	return nil
}

func (p *parts) startEnvoy(ctx context.Context, binary string, w *workspace) error {
	process, err := envoy.Start(context.WithoutCancel(ctx), envoy.Options{
		Binary: binary, StateDir: w.dir, AdminAddress: w.envoyAdmin, LogPath: w.path("envoy.log"),
	})
	if err != nil {
		return err
	}
	p.add(&part{name: "Envoy", done: process.Exited(), stop: func() { process.Stop(5 * time.Second) }})
	return nil
}

func (p *parts) add(one *part) {
	if p.failed == nil {
		p.failed = make(chan string, 8)
	}
	p.running = append(p.running, one)
	go func() {
		<-one.done
		p.failed <- one.name
	}()
}

// ended delivers the names of parts that have ended.
func (p *parts) ended() <-chan string { return p.failed }

// stopAll stops the parts in the order in which requests pass them: first Envoy, so that none arrives any more, then the
// control plane, which drains the instances, then lambdalocal, which ends their processes.
func (p *parts) stopAll() {
	for n := len(p.running) - 1; n >= 0; n-- {
		p.running[n].stop()
	}
}

// terminate asks a process to end, and insists after a while.
func terminate(process *os.Process, done <-chan struct{}) {
	_ = process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(40 * time.Second):
		_ = process.Kill()
		<-done
	}
}

// wait polls until a part answers, ends, or takes too long.
func (p *parts) wait(ctx context.Context, name string, ready func() bool) error {
	deadline := time.After(startTimeout)
	for !ready() {
		select {
		case ended := <-p.failed:
			return fmt.Errorf("%s ended while %s was starting: see its output", ended, name)
		case <-deadline:
			return fmt.Errorf("%s did not answer within %v", name, startTimeout)
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
	return func() bool {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
}

// welcome tells what to do next.
func (w *workspace) welcome() string {
	return fmt.Sprintf(`
Lambda Dispatch is up.

  front door  http://%[1]s   functions: /%[3]s
  admin       http://%[2]s   /metrics /api/v1/functions /api/v1/instances

Try:
  curl http://%[1]s/go/hello
  for i in $(seq 20); do curl -s "http://%[1]s/%[4]s/sleep?ms=500" & done; wait

Ctrl-C stops everything.
`, w.front, w.admin, strings.Join(w.functions, " /"), w.functions[len(w.functions)-1])
}
