// Command controlplane is lambda-dispatch under its old name, which goes with the release after this one.
package main

import (
	"fmt"
	"os"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/cli"
)

func main() {
	fmt.Fprintln(os.Stderr, "controlplane is called lambda-dispatch now, with the same commands; this name goes with the next release")
	os.Exit(cli.Main(os.Args[1:]))
}
