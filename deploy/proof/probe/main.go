// Command probe is what runs on AWS for deploy/proof, in three roles, by the name under which it is started: bootstrap, a Lambda function
// that does as it is told; proof, an extension beside it; witness, a server on another host that sees what both do with connections.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	roles := map[string]func(context.Context) error{"bootstrap": serveFunction, "proof": serveExtension, "witness": serveWitness}
	serve := roles[filepath.Base(os.Args[0])]
	if serve == nil {
		serve = func(context.Context) error { return errors.New("start it as bootstrap, proof or witness") }
	}
	if err := serve(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}
