// Package program is lambdalocal as a program, for its own binary and for lambda-dispatch, which runs it beside an app.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Main runs the program with its arguments and returns its exit status; release is the version that it names, empty for what
// Go knows of the build. It may start the running binary again, with the arguments in again, which must lead to this call.
func Main(args, again []string, release string) int {
	if code, done := delegate(args, again, os.Stdout, os.Stderr); done {
		return code
	}
	stop, force := watchSignals()
	context.AfterFunc(force, func() { time.AfterFunc(forcedEnd, func() { os.Exit(1) }) })
	if err := run(stop, force, args, os.Environ(), release, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "lambdalocal:", err)
		return exitCode(err)
	}
	return 0
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
