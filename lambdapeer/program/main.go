// Package program is lambdapeer as a program. It is a binary of its own, and a hidden command of lambda-dispatch, which runs
// everything on one machine.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Main runs the program and returns its exit status. The base name of args[0] is the name of the extension.
func Main(args []string) int {
	err := run(context.Background(), args, os.Environ(), os.Stdout, os.Stderr)
	var exit *exitError
	switch {
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "lambdapeer:", err)
		return 2
	case errors.As(err, &exit):
		return exit.code
	case err != nil:
		fmt.Fprintln(os.Stderr, "lambdapeer:", err)
		return 1
	}
	return 0
}
