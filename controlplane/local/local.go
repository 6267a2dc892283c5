// Package local runs all of Lambda Dispatch on one machine: lambdalocal in Lambda's place, the control plane, and Envoy.
package local

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// Options say what is run, and where. All of them are needed but for the writers and Prepare.
type Options struct {
	Program string // the path of lambda-dispatch, which is lambdalocal and the control plane
	Envoy   string // the path of Envoy
	Dir     string // for configurations and sockets, from MakeDir; whoever called that removes it

	// Where the parts listen, each host:port.
	Lambda, Admin, Relay, EnvoyAdmin string

	Lambdalocal  []byte // the configuration of lambdalocal, which says where it listens
	ControlPlane []byte // the configuration of the control plane, which no variable alters; Dir, Admin and Relay are set beside it

	LambdalocalLog  io.Writer // gets lambdalocal's log with all that functions print, in JSON; nil: nobody does
	ControlPlaneLog io.Writer
	ControlPlaneSet []string // further keys of the control plane, as --set takes them

	// Prepare is called when lambdalocal answers, before the control plane starts.
	Prepare func(context.Context) error
}

// A Stack is everything, running.
type Stack struct {
	parts  []*part
	failed chan *part
}

// Start starts the parts, each when the one before it answers, and returns when Envoy has been told where to listen. After
// an error nothing runs.
func Start(ctx context.Context, o Options) (*Stack, error) {
	s := &Stack{failed: make(chan *part, 3)}
	if err := s.start(ctx, o); err != nil {
		s.Stop(context.Background())
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, o Options) error {
	files := map[string][]byte{"lambdalocal.yaml": o.Lambdalocal, "controlplane.yaml": o.ControlPlane}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(o.Dir, name), text, 0o600); err != nil {
			return err
		}
	}
	if err := s.startLambdalocal(ctx, o); err != nil {
		return err
	}
	if o.Prepare != nil {
		if err := o.Prepare(ctx); err != nil {
			return err
		}
	}
	if err := s.startControlPlane(ctx, o); err != nil {
		return err
	}
	if err := s.startEnvoy(ctx, o); err != nil {
		return err
	}
	return s.wait(ctx, answers("http://"+o.Admin+"/readyz"))
}

func (s *Stack) startLambdalocal(ctx context.Context, o Options) error {
	args := []string{"lambdalocal", "run", "--config", filepath.Join(o.Dir, "lambdalocal.yaml")}
	if o.LambdalocalLog != nil {
		args = append(args, "--log-level", "debug", "--log-format", "json")
	}
	if err := s.run(lambdalocal, exec.Command(o.Program, args...), o.LambdalocalLog); err != nil {
		return err
	}
	return s.wait(ctx, listens(o.Lambda))
}

func (s *Stack) startControlPlane(ctx context.Context, o Options) error {
	args := []string{"run", "--set", "state_dir=" + o.Dir, "--set", "admin.address=" + o.Admin, "--set", "relay.address=" + o.Relay}
	for _, key := range o.ControlPlaneSet {
		args = append(args, "--set", key)
	}
	cmd := exec.Command(o.Program, append(args, filepath.Join(o.Dir, "controlplane.yaml"))...)
	cmd.Env = withoutOurs(os.Environ())
	if err := s.run(controlPlane, cmd, o.ControlPlaneLog); err != nil {
		return err
	}
	return s.wait(ctx, answers("http://"+o.Admin+"/healthz"))
}

// withoutOurs leaves out the variables that a control plane reads: those that are set here are for another one, whose token or
// certificates say.
func withoutOurs(environ []string) []string {
	return slices.DeleteFunc(environ, func(entry string) bool { return strings.HasPrefix(entry, "LAMBDA_DISPATCH_") })
}

func (s *Stack) startEnvoy(ctx context.Context, o Options) error {
	one := &part{name: envoyProxy, words: &lastWords{}}
	process, err := envoy.Start(context.WithoutCancel(ctx), envoy.Options{
		Binary: o.Envoy, StateDir: o.Dir, AdminAddress: o.EnvoyAdmin, Log: one.words,
	})
	if err != nil {
		return err
	}
	one.done, one.end, one.stop = process.Exited(), process.Wait, func(context.Context) { process.Stop(5 * time.Second) }
	s.add(one)
	return nil
}

// Failed waits until a part ends without having been told to, which is the error, or ctx ends.
func (s *Stack) Failed(ctx context.Context) error {
	select {
	case one := <-s.failed:
		return one.ended("unexpectedly")
	case <-ctx.Done():
		return nil
	}
}

// Stop stops the control plane first: it refuses new requests, and lets those in flight finish, for which Envoy and the
// instances must still be there. Then Envoy, and at last lambdalocal, which ends the functions' processes. When force ends,
// the control plane waits for no request any more; the others need moments, and are never cut short, so that nothing stays.
func (s *Stack) Stop(force context.Context) {
	s.stop(force, controlPlane)
	s.stop(context.Background(), envoyProxy)
	s.stop(context.Background(), lambdalocal)
}
