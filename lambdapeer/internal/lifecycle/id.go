package lifecycle

import (
	"crypto/rand"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// FunctionNameVar is the variable in which Lambda names the function.
const FunctionNameVar = "AWS_LAMBDA_FUNCTION_NAME"

// NewID returns a random environment id. A process has one, for all invocations that it serves. Lambda tells extensions no name of
// an environment, and a process that is restarted in one begins anew.
func NewID() string { return strings.ToLower(rand.Text()[:16]) }

// ReadLogStream returns the name of the function's log stream. It is empty outside Lambda, and in extensions, which Lambda does not
// tell.
func ReadLogStream(getenv func(string) string) string {
	return fitting(getenv("AWS_LAMBDA_LOG_STREAM_NAME"))
}

// ReadVersion returns the version of the function's code, "$LATEST" or a number. It is empty outside Lambda, and if the protocol
// cannot carry it.
func ReadVersion(getenv func(string) string) string {
	return fitting(getenv("AWS_LAMBDA_FUNCTION_VERSION"))
}

// fitting returns name, or an empty string if the protocol cannot carry it.
func fitting(name string) string {
	probe := wire.Registration{Version: wire.Version, Function: "probe", Environment: name}
	if probe.Validate() != nil {
		return ""
	}
	return name
}
