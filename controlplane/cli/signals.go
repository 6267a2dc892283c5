package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
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

// outliveReaders lets writes to a pipe that nobody reads fail, where they would end the process: a server outlives what collects its log.
// The signal is caught and not ignored, because programs that are started would inherit that.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// hangups receives SIGHUP. An operator sends it to have files read again, a terminal when it closes. It does not end the program.
type hangups chan os.Signal

func newHangups() hangups {
	h := make(hangups, 1)
	signal.Notify(h, syscall.SIGHUP)
	return h
}

// each calls reload for each SIGHUP since newHangups, until stop is called.
func (h hangups) each(reload func(why string)) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-h:
				reload("SIGHUP")
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(h)
		close(done)
	}
}
