package main

import (
	"fmt"
	"io"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
)

// key makes a signing key, or prints the public half of one. The public half alone goes to standard output.
func key(args []string, stdout io.Writer) error {
	if len(args) != 2 {
		return usagef("key: controlplane key new FILE, or controlplane key public FILE")
	}
	var public string
	var err error
	switch verb, file := args[0], args[1]; verb {
	case "new":
		public, err = controlplane.NewSigningKey(file)
	case "public":
		public, err = controlplane.PublicKey(file)
	default:
		err = usagef("unknown verb %q: new or public", verb)
	}
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	fmt.Fprintln(stdout, public)
	return nil
}
