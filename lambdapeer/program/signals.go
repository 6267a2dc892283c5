package program

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// sameSignal is how long a repeated signal counts as the same one, because timeout(1) sends each twice, to the process and to its
// group.
const sameSignal = 50 * time.Millisecond

func stopping(sig os.Signal) bool { return sig == syscall.SIGTERM || sig == syscall.SIGINT }

// shutdown is why we stop.
func shutdown(sig os.Signal) error {
	return &instance.Stop{Reason: wire.ReasonShutdown, Detail: sig.String()}
}

// watchSignals cancels at the first signal to stop. A second one ends the process, and a SIGHUP does not.
func watchSignals(ctx context.Context, signals chan os.Signal, cancel context.CancelCauseFunc, log *slog.Logger) {
	for {
		select {
		case sig := <-signals:
			if !stopping(sig) {
				log.Info("signal ignored", "signal", sig.String())
				continue
			}
			time.AfterFunc(sameSignal, func() { signal.Stop(signals) })
			cancel(shutdown(sig))
		case <-ctx.Done():
			return
		}
	}
}

// A wrapper is the run of a wrapped app.
type wrapper struct {
	app    *app
	cancel context.CancelCauseFunc // ends serving
	last   os.Signal               // the signal that the app gets in the end
	first  time.Time               // when the first signal to stop came; zero before
}

// wrap runs the app and serves it. The first signal to stop drains, so that requests in flight finish, and is then sent to the app.
// The second one kills the app, and ends lambdapeer. Other signals are sent to the app at once. When the app ends, everything ends.
func (s settings) wrap(ctx context.Context, cancel context.CancelCauseFunc, signals <-chan os.Signal, log *slog.Logger) error {
	a, err := startApp(s.command, s.port)
	if err != nil {
		return err
	}
	w := &wrapper{app: a, cancel: cancel, last: syscall.SIGTERM}
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, cancel, log) }()
	return w.run(signals, served)
}

func (w *wrapper) run(signals <-chan os.Signal, served <-chan error) error {
	for {
		select {
		case sig := <-signals:
			if err := w.signalled(sig); err != nil {
				return err
			}
		case err := <-served:
			return w.stopApp(signals, err)
		case <-w.app.ended:
			w.cancel(&instance.Stop{Reason: wire.ReasonAppExited, Detail: w.app.how()})
			return errors.Join(<-served, w.app.result())
		}
	}
}

// signalled handles a signal. It returns an error if it is the second one to stop.
func (w *wrapper) signalled(sig os.Signal) error {
	switch {
	case !stopping(sig):
		_ = w.app.cmd.Process.Signal(sig) // an error means that it has ended
	case w.first.IsZero():
		w.first, w.last = time.Now(), sig
		w.cancel(shutdown(sig))
	case time.Since(w.first) > sameSignal:
		_ = w.app.cmd.Process.Kill()
		return &exitError{code: 128 + int(sig.(syscall.Signal))}
	}
	return nil
}

// stopApp ends the app after serving has ended. It kills the app after killAfter, or at the second signal.
func (w *wrapper) stopApp(signals <-chan os.Signal, served error) error {
	_ = w.app.cmd.Process.Signal(w.last)
	kill := time.AfterFunc(killAfter, func() { _ = w.app.cmd.Process.Kill() })
	defer kill.Stop()
	for {
		select {
		case sig := <-signals:
			if err := w.signalled(sig); err != nil {
				return err
			}
		case <-w.app.ended:
			if served == nil {
				return w.app.result()
			}
			return served
		}
	}
}
