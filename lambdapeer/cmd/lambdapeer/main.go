// Command lambdapeer connects any HTTP server in a Lambda function, a container or on a laptop to Lambda Dispatch.
package main

import (
	"os"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/program"
)

func main() { os.Exit(program.Main(os.Args)) }
