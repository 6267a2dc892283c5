package lifecycle

import (
	"crypto/rand"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// FunctionNameVar is where Lambda says what the function is called.
const FunctionNameVar = "AWS_LAMBDA_FUNCTION_NAME"

// NewID returns an environment id: in Lambda the log stream's name, which is unique and leads an operator to the logs;
// elsewhere, or if that name does not fit the protocol, a random one.
func NewID(getenv func(string) string) string {
	stream := getenv("AWS_LAMBDA_LOG_STREAM_NAME")
	if fits(stream) {
		return stream
	}
	return strings.ToLower(rand.Text()[:16])
}

// ReadVersion returns the version of the function's code that runs, "$LATEST" or a number; empty where there is none, or
// none that fits the protocol.
func ReadVersion(getenv func(string) string) string {
	version := getenv("AWS_LAMBDA_FUNCTION_VERSION")
	if !fits(version) {
		return ""
	}
	return version
}

// fits tells whether the protocol can carry a name.
func fits(name string) bool {
	probe := wire.Registration{Version: wire.Version, Function: "probe", Environment: name}
	return probe.Validate() == nil
}
