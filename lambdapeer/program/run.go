package program

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/idle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/proxy"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/variables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// initPhase is how long the app may take before lambdapeer takes the first invocation without it. Lambda's init phase ends
	// after 10 s.
	initPhase = 9 * time.Second
	// Lambda kills extensions 2 s after SHUTDOWN, and a runtime that asked for SIGTERM half a second after that.
	extensionShutdown = 1500 * time.Millisecond
	wrapperShutdown   = 250 * time.Millisecond
)

// run is Main without the process's environment. It blocks until the peer, or the app that it wraps, has ended.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	if len(args) == 2 {
		switch args[1] {
		case "--help", "-help", "-h", "help":
			_, err := fmt.Fprint(stdout, usage)
			return err
		case "--version", "-version", "version":
			_, err := fmt.Fprintln(stdout, version())
			return err
		}
	}
	for _, warning := range variables.Warnings(environ) { // a bad value must not hide them
		newLogger(stderr, slog.LevelWarn).Warn(warning)
	}
	s, err := parse(args, variables.Reader(lookup(environ)))
	if err != nil {
		return err
	}
	log := newLogger(stderr, s.level)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 4)
	defer signal.Stop(signals)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if len(s.command) == 0 {
		go watchSignals(ctx, signals, cancel, log)
		return s.serve(ctx, cancel, log)
	}
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	return s.wrap(ctx, cancel, signals, log)
}

// lookup is os.Getenv for a given environment.
func lookup(environ []string) func(string) string {
	values := make(map[string]string, len(environ))
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		values[name] = text
	}
	return func(name string) string { return values[name] }
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

func version() string {
	return fmt.Sprintf("lambdapeer %s, protocol version %d", wire.Build(), wire.Version)
}

// serve connects the app to Lambda Dispatch until ctx ends.
func (s settings) serve(ctx context.Context, cancel context.CancelCauseFunc, log *slog.Logger) error {
	p := proxy.New(s.address(), s.h2c, log)
	defer p.CloseIdle()
	app := &readiness{probe: httpProbe(s.address(), s.path, p.Get), limit: s.readiness, log: log}
	if s.tcp {
		app.probe = tcpProbe(s.address())
	}
	env := &lifecycle.Environment{
		ID: s.id, Version: s.version, LogStream: s.stream, Handler: p, Logger: log, Events: s.events, Ready: app.wait, Settle: p.CloseIdle,
		Trust: s.trust, FunctionName: s.function, Hooks: s.freeze.hooks(p), Workers: s.workers, Wear: s.wear,
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

// serveLambda serves in Lambda: as the runtime if lambdapeer has started the app, and otherwise as an extension.
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

// watchShutdown cancels at SHUTDOWN, or if the API fails, because then the environment ends too.
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

// awaitInit waits for the app in Lambda's init phase, in which it has the most CPU. It gives up before that ends, and the first
// invocation waits for the app. It gives up at once if the app is idle, because only an invocation can report what the app waits
// for.
func (s settings) awaitInit(ctx context.Context, app *readiness, log *slog.Logger) error {
	limited, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	if s.async {
		limited, cancel = context.WithTimeout(ctx, s.initLimit)
		watching.Go(func() {
			if idle.Await(limited, apiVar+"="+s.api) {
				cancel()
			}
		})
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
