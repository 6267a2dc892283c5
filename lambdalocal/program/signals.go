package program

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

const (
	// sameSignal is how long a signal counts as the first one again: timeout(1) sends each twice, to the process and to its group.
	sameSignal = 50 * time.Millisecond
	// forcedEnd is how long the program may take to end by itself once the second signal has come.
	forcedEnd = time.Second
)

// watchSignals returns two contexts: the first SIGINT or SIGTERM ends stop, the second one ends force as well. SIGHUP, which
// a terminal sends when it closes, ends nothing; it is not ignored in the sense of the kernel, which functions would inherit.
func watchSignals() (stop, force context.Context) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return interrupts(signals)
}

func interrupts(signals <-chan os.Signal) (stop, force context.Context) {
	stop, endStop := context.WithCancel(context.Background())
	force, endForce := context.WithCancel(context.Background())
	go func() {
		var first time.Time
		for sig := range signals {
			switch {
			case sig == syscall.SIGHUP:
			case first.IsZero():
				first = time.Now()
				endStop()
			case time.Since(first) > sameSignal:
				endForce()
			}
		}
	}()
	return stop, force
}

// killAll kills the processes of all environments, so that the server has nothing to wait for.
func killAll(server *lambdalocal.Server) {
	for _, e := range server.Environments() {
		server.Kill(e.ID)
	}
}
