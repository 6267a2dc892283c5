package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/idle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/proxy"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// initPhase is how long the app may take before we take the first invocation without it: Lambda's init phase ends
	// after 10 s.
	initPhase = 9 * time.Second
	// Lambda kills 2 s after SHUTDOWN where there are extensions, and half a second after SIGTERM where the runtime asked for it.
	extensionShutdown = 1500 * time.Millisecond
	wrapperShutdown   = 250 * time.Millisecond
)

// run is main without the process: it blocks until the peer, or the app that it wraps, has ended.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	if len(args) == 2 {
		switch args[1] {
		case "--help", "-h":
			fmt.Fprint(stdout, usage)
			return nil
		case "--version":
			fmt.Fprintln(stdout, version())
			return nil
		}
	}
	s, err := parse(args, getenv)
	if err != nil {
		return err
	}
	log := newLogger(stderr, s.level)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 4)
	defer signal.Stop(signals)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if len(s.command) == 0 {
		go watchSignals(ctx, signals, cancel)
		return s.serve(ctx, cancel, log)
	}
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	return s.wrap(ctx, cancel, signals, log)
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

func version() string {
	release := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		release = info.Main.Version
	}
	return fmt.Sprintf("lambdapeer %s, protocol version %d", release, wire.Version)
}

func stopping(sig os.Signal) bool { return sig == syscall.SIGTERM || sig == syscall.SIGINT }

// watchSignals cancels at the first signal.
func watchSignals(ctx context.Context, signals <-chan os.Signal, cancel context.CancelCauseFunc) {
	select {
	case sig := <-signals:
		cancel(&instance.Stop{Reason: wire.ReasonShutdown, Detail: sig.String()})
	case <-ctx.Done():
	}
}

// wrap runs the app and serves it. A signal to stop first drains, so that requests in flight finish, and then reaches the
// app; other signals reach it at once. The app's end ends everything.
func (s settings) wrap(ctx context.Context, cancel context.CancelCauseFunc, signals <-chan os.Signal, log *slog.Logger) error {
	a, err := startApp(s.command, s.port)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, cancel, log) }()
	last := os.Signal(syscall.SIGTERM)
	for {
		select {
		case sig := <-signals:
			if !stopping(sig) {
				_ = a.cmd.Process.Signal(sig)
				continue
			}
			last = sig
			cancel(&instance.Stop{Reason: wire.ReasonShutdown, Detail: sig.String()})
		case <-a.ended:
			cancel(&instance.Stop{Reason: wire.ReasonAppExited, Detail: a.how()})
			return errors.Join(<-served, a.result())
		case err := <-served:
			a.stop(last)
			if err == nil {
				err = a.result()
			}
			return err
		}
	}
}

// serve connects the app until ctx ends.
func (s settings) serve(ctx context.Context, cancel context.CancelCauseFunc, log *slog.Logger) error {
	p := proxy.New(s.address(), s.h2c, log)
	defer p.CloseIdle()
	app := &readiness{probe: httpProbe(s.address(), s.path, p.Get), limit: s.readiness, log: log}
	if s.tcp {
		app.probe = tcpProbe(s.address())
	}
	env := &lifecycle.Environment{
		ID: s.id, Version: s.version, LogStream: s.stream, Handler: p, Logger: log, EventPath: s.eventPath, Ready: app.wait, Settle: p.CloseIdle,
		Trust: s.trust, FunctionName: s.function, Hooks: s.freeze.hooks(p),
	}
	switch {
	case s.api != "":
		return s.serveLambda(ctx, cancel, env, app, log)
	case s.registrar != nil:
		return env.RunStatic(ctx, s.registrar)
	default:
		log.Info("neither in Lambda nor given a relay: only running the command")
		<-ctx.Done()
		return nil
	}
}

// serveLambda registers as an extension, unless the app is ours: then we are the runtime.
func (s settings) serveLambda(
	ctx context.Context, cancel context.CancelCauseFunc, env *lifecycle.Environment, app *readiness, log *slog.Logger,
) error {
	api := runtimeapi.New(s.api)
	defer api.Close()
	env.Signal, env.ShutdownLimit = true, wrapperShutdown
	if len(s.command) == 0 {
		env.Signal, env.ShutdownLimit = false, extensionShutdown
		extension, err := api.Register(ctx, filepath.Base(s.name))
		if err != nil {
			return err
		}
		go watchShutdown(ctx, extension, cancel)
	}
	if err := s.awaitInit(ctx, app, log); err != nil {
		return err
	}
	return env.RunLambda(ctx, api)
}

// watchShutdown cancels at SHUTDOWN, or when the API fails: the environment is ending then, too.
func watchShutdown(ctx context.Context, extension *runtimeapi.Extension, cancel context.CancelCauseFunc) {
	for {
		event, err := extension.Next(ctx)
		switch {
		case err != nil:
			cancel(&instance.Stop{Reason: wire.ReasonShutdown, Detail: err.Error()})
			return
		case event.Type == runtimeapi.Shutdown:
			cancel(&instance.Stop{Reason: wire.ReasonShutdown, Detail: event.Reason})
			return
		}
	}
}

// awaitInit waits for the app in Lambda's init phase, in which it has the most processor time. In time it gives up, and the
// first invocation waits on: at once if the app has nothing more to do, since only an invocation can say what it waits for.
func (s settings) awaitInit(ctx context.Context, app *readiness, log *slog.Logger) error {
	limited, cancel := context.WithCancel(ctx)
	if s.async {
		limited, cancel = context.WithTimeout(ctx, s.initLimit)
		go func() {
			if idle.Await(limited) {
				cancel()
			}
		}()
	}
	defer cancel()
	err := app.wait(limited, func(string) {})
	switch {
	case err == nil, ctx.Err() != nil:
		return nil
	case !s.async:
		return fmt.Errorf("app: %w", err)
	}
	log.Warn("app not ready, taking the first invocation without it", "error", err)
	return nil
}
