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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run brings the demo up, waits for ctx to end or a part to fail, and takes it down again.
func run(ctx context.Context, getenv func(string) string, out io.Writer) (err error) {
	addresses, err := chooseAddresses(getenv)
	if err != nil {
		return err
	}
	w, err := newWorkspace(addresses)
	if err != nil {
		return err
	}
	defer w.remove()

	parts := &parts{}
	defer parts.stopAll()
	if err := startAll(ctx, parts, w); err != nil {
		return stopped(ctx, err)
	}
	fmt.Fprint(out, w.welcome())
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "\nstopping")
		return nil
	case ended := <-parts.ended():
		return fmt.Errorf("%s ended unexpectedly%s", ended.name, ended.lastWords())
	}
}

// stopped drops the error of a start that was interrupted: that is what the user wanted.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
