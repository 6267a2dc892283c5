// Command crowd is many peers in one process, for tests of relays. Each line of its input is an invocation; the peer that
// serves it prints a line when it ends: the instance, a space and its report as JSON. It runs until its input and then all
// peers have ended; they are told to at the input's end.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	var peers sync.WaitGroup
	defer peers.Wait()
	defer cancel()
	var printing sync.Mutex
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, wire.MaxInvocation)
	for lines.Scan() {
		var invocation wire.Invocation
		if err := json.Unmarshal(lines.Bytes(), &invocation); err != nil {
			return err
		}
		peers.Go(func() {
			report, _ := json.Marshal(serve(ctx, invocation))
			printing.Lock()
			defer printing.Unlock()
			fmt.Fprintf(out, "%s %s\n", invocation.Instance, report)
		})
	}
	return lines.Err()
}

func serve(ctx context.Context, invocation wire.Invocation) wire.Report {
	return instance.Serve(ctx, instance.Config{
		Invocation:  invocation,
		Environment: "env-" + invocation.Instance,
		Handler:     http.NotFoundHandler(),
		Logger:      slog.New(slog.DiscardHandler),
	})
}
