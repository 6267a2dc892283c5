package lifecycle

import (
	"crypto/rand"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// FunctionNameVar is where Lambda says what the function is called.
const FunctionNameVar = "AWS_LAMBDA_FUNCTION_NAME"

// NewID returns a random environment id. It is one for the process, and so for all invocations that this serves: what Lambda
// calls an environment has no name that an extension would be told, and a process that was started anew in it begins anew.
func NewID() string { return strings.ToLower(rand.Text()[:16]) }

// ReadLogStream returns the name of the function's log stream. It is empty where there is none, and for extensions: Lambda
// does not tell them.
func ReadLogStream(getenv func(string) string) string {
	return fitting(getenv("AWS_LAMBDA_LOG_STREAM_NAME"))
}

// ReadVersion returns the version of the function's code that runs, "$LATEST" or a number; empty where there is none, or
// none that fits the protocol.
func ReadVersion(getenv func(string) string) string {
	return fitting(getenv("AWS_LAMBDA_FUNCTION_VERSION"))
}

// fitting returns name, or nothing if the protocol cannot carry it.
func fitting(name string) string {
	probe := wire.Registration{Version: wire.Version, Function: "probe", Environment: name}
	if probe.Validate() != nil {
		return ""
	}
	return name
}
