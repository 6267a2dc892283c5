// Command demo runs all of Lambda Dispatch on one machine: lambdalocal in Lambda's place, the control plane and Envoy,
// with three small functions behind them. It stops everything that it started when it is told to stop.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "demo: there are no arguments: FRONT_PORT, ADMIN_PORT, ENVOY_ADMIN_PORT and LAMBDA_PORT move ports")
		os.Exit(2)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	first, second := local.Interrupts(signals)
	if err := run(first, second, os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run brings the demo up, waits for ctx to end or a part to fail, and takes it down again: gently until force ends.
func run(ctx, force context.Context, getenv func(string) string, out io.Writer) (err error) {
	var held local.Ports
	defer held.Release()
	addresses, err := chooseAddresses(&held, getenv)
	if err != nil {
		return err
	}
	w, err := newWorkspace(addresses)
	if err != nil {
		return err
	}
	defer w.remove()

	stack, err := w.start(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	defer stack.Stop(force)
	fmt.Fprint(out, w.welcome())
	if err := stack.Failed(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nstopping: requests in flight may finish; Ctrl-C again cuts them off")
	return nil
}

// start starts everything as build/ has it.
func (w *workspace) start(ctx context.Context) (*local.Stack, error) {
	binary, err := envoy.Find(ctx)
	if err != nil {
		return nil, err
	}
	return local.Start(ctx, local.Options{
		Program: "build/lambda-dispatch", Envoy: binary, Dir: w.dir,
		Lambda: w.lambda, Admin: w.admin, Relay: w.relay, EnvoyAdmin: w.envoyAdmin,
		Lambdalocal: w.local, ControlPlane: w.control, ControlPlaneLog: os.Stderr,
	})
}

// stopped drops the error of a start that was interrupted: that is what the user wanted.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
