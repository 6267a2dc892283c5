// Command lambdalocal is AWS Lambda on one machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

func main() {
	if code, done := delegate(os.Args[1:], os.Stdout, os.Stderr); done {
		os.Exit(code)
	}
	stop, force := watchSignals()
	context.AfterFunc(force, func() { time.AfterFunc(forcedEnd, func() { os.Exit(1) }) })
	if err := run(stop, force, os.Args[1:], os.Environ(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "lambdalocal:", err)
		os.Exit(exitCode(err))
	}
}

// A usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is 2 for a mistake in the command line, and 1 for everything else.
func exitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}
