// Command fetch installs the pinned Envoy into a folder and prints the binary's path:
//
//	go run ./envoy/cmd/fetch .tools
//
// An Envoy of that version in $ENVOY, on PATH or in .tools is used instead of fetching another one. With a version behind
// the folder, that one is fetched.
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
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: fetch FOLDER [VERSION]")
	}
	path, err := find(ctx, args, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, path)
	return nil
}

func find(ctx context.Context, args []string, stderr io.Writer) (string, error) {
	if len(args) == 2 {
		return envoy.Fetch(ctx, args[0], args[1], stderr)
	}
	path, err := envoy.Find(ctx)
	if errors.Is(err, envoy.ErrNotFound) {
		return envoy.Fetch(ctx, args[0], envoy.Version, stderr)
	}
	return path, err
}
