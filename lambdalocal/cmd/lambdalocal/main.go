// Command lambdalocal is AWS Lambda on one machine.
package main

import (
	"os"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/program"
)

// release is set by the linker where a release is built from an archive: -X main.release=v1.2.3
var release string

func main() { os.Exit(program.Main(os.Args[1:], os.Args[1:], release)) }
