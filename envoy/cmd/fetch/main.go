// Command fetch installs the pinned Envoy into a folder and prints the binary's path:
//
//	go run ./envoy/cmd/fetch .tools
//
// An Envoy of that version in $ENVOY, on PATH or in .tools is used instead of fetching another one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: fetch FOLDER")
	}
	path, err := envoy.Find(ctx)
	if errors.Is(err, envoy.ErrNotFound) {
		path, err = envoy.Fetch(ctx, args[0], stderr)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, path)
	return nil
}
