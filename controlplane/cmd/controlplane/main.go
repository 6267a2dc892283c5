// Command controlplane runs Lambda Dispatch's control plane and relay, or checks a configuration.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
)

const usage = `controlplane makes AWS Lambda functions serve Envoy's requests like a pool of warm servers.

Usage:
  controlplane run   [--set KEY=VALUE]... [FILE]   run with the configuration in FILE until SIGTERM
  controlplane check [--set KEY=VALUE]... [FILE]   report all that is wrong with FILE; with an envoy %[1]s at
                                                   hand, also what Envoy says to the result
  controlplane version                             print the version

Keys are paths in the configuration, admin.address say. Each can also be set by a variable: %[2]sADMIN_ADDRESS.
A later source wins: defaults, FILE, variables, --set.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal must be able to end a shutdown that takes too long.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is the whole program but for signals and the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		printUsage(stderr)
		return errors.New("no command given: run, check or version")
	}
	err := command(ctx, args[0], args[1:], environ, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		printUsage(stdout)
		return nil
	}
	return err
}

func command(ctx context.Context, name string, args, environ []string, stdout, stderr io.Writer) error {
	switch name {
	case "run":
		return runServer(ctx, args, environ, stderr)
	case "check":
		return check(ctx, args, environ, stdout)
	case "version":
		fmt.Fprintln(stdout, controlplane.Version())
		return nil
	case "help", "-h", "--help":
		return flag.ErrHelp
	default:
		return fmt.Errorf("unknown command %q: run, check or version", name)
	}
}
