package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

// sameSignal is how long a signal counts as the first one again: timeout(1) sends each twice, to the process and to its group.
const sameSignal = 50 * time.Millisecond

// untilSignal returns a context that the first SIGINT or SIGTERM ends. A second one ends the process.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		time.AfterFunc(sameSignal, func() { signal.Stop(signals) })
		cancel()
	}()
	return ctx
}

// logHangups keeps SIGHUP, which a terminal sends when it closes and an operator to have files read again, from ending the
// program. The returned function ends that.
func logHangups(log logrus.FieldLogger) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				log.Warn("SIGHUP is ignored: the configuration is read at the start only")
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}
