// Command lambdapeer connects any HTTP server in a Lambda function, a container or on a laptop to Lambda Dispatch.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func main() {
	err := run(context.Background(), os.Args, os.Environ(), os.Stdout, os.Stderr)
	var exit *exitError
	switch {
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "lambdapeer:", err)
		os.Exit(2)
	case errors.As(err, &exit):
		os.Exit(exit.code)
	case err != nil:
		fmt.Fprintln(os.Stderr, "lambdapeer:", err)
		os.Exit(1)
	}
}
