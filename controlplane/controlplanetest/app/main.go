// Command app is the application that end-to-end tests run behind both kinds of peer: with the library inside, or, with
// APP_PLAIN=1, as a plain HTTP server on $PORT that the lambdapeer binary fronts. Its routes exercise what a proxy can get
// wrong; package contract holds what its answers mean.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string, stdout io.Writer) error {
	delay, err := millis(getenv, contract.StartDelayVariable)
	if err != nil {
		return err
	}
	a, err := newApp(getenv)
	if err != nil {
		return err
	}
	defer a.close()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil
	}
	if getenv(contract.PlainVariable) == "1" {
		return servePlain(ctx, a.handler(), net.JoinHostPort(getenv(contract.HostVariable), getenv("PORT")), stdout)
	}
	return (&lambdapeer.Peer{Handler: a.handler(), OnFreeze: a.freezes, OnThaw: a.thaws}).Run(ctx)
}

// servePlain speaks HTTP/1.1 and HTTP/2 without TLS, which gRPC needs, until ctx ends; then it answers what is in flight.
func servePlain(ctx context.Context, handler http.Handler, address string, stdout io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening on port", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: handler, Protocols: protocols(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = server.Shutdown(grace)
	_ = server.Close() // what outlived the grace
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// millis reads an environment variable that holds whole milliseconds, 0 when unset.
func millis(getenv func(string) string, name string) (time.Duration, error) {
	text := getenv(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s: must be whole milliseconds, got %q", name, text)
	}
	return time.Duration(n) * time.Millisecond, nil
}
