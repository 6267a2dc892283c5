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
	"time"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	first, second := interrupts(signals)
	if err := run(first, second, os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// sameSignal is how long a SIGTERM counts as the first signal again: make passes on what the whole process group gets.
const sameSignal = time.Second

// interrupts returns a context that ends with the first signal, and one that ends with the next: a Ctrl-C at any time, or
// another signal unless it may be the first one again.
func interrupts(signals <-chan os.Signal) (first, second context.Context) {
	first, endFirst := context.WithCancel(context.Background())
	second, endSecond := context.WithCancel(context.Background())
	go func() {
		<-signals
		began := time.Now()
		endFirst()
		for <-signals != os.Interrupt && time.Since(began) < sameSignal {
		}
		endSecond()
	}()
	return first, second
}

// run brings the demo up, waits for ctx to end or a part to fail, and takes it down again: gently until force ends.
func run(ctx, force context.Context, getenv func(string) string, out io.Writer) (err error) {
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
	defer parts.stopAll(force)
	if err := startAll(ctx, parts, w); err != nil {
		return stopped(ctx, err)
	}
	fmt.Fprint(out, w.welcome())
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "\nstopping: requests in flight may finish; Ctrl-C again cuts them off")
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
