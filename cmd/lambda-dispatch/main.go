// Command lambda-dispatch runs Lambda Dispatch: the control plane, its relay, and all that people do with them.
package main

import (
	"os"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
