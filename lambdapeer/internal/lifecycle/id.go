package lifecycle

import (
	"crypto/rand"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// NewID returns an environment id: in Lambda the log stream's name, which is unique and leads an operator to the logs;
// elsewhere, or if that name does not fit the protocol, a random one.
func NewID(getenv func(string) string) string {
	stream := getenv("AWS_LAMBDA_LOG_STREAM_NAME")
	probe := wire.Registration{Version: wire.Version, Function: "probe", Environment: stream}
	if probe.Validate() == nil {
		return stream
	}
	return strings.ToLower(rand.Text()[:16])
}
