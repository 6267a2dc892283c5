// Package envoy has the static bootstrap that Lambda Dispatch runs Envoy with, and gets, checks and runs the one version
// of Envoy that the project is tested with.
package envoy

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
)

// Version is the version of Envoy that every configuration here is made for and tested with.
const Version = "1.40.0"

// Tested are the versions that `make envoys` runs end-to-end tests against, the pinned one first. SUPPORT.md says what works.
func Tested() []string { return []string{Version, "1.39.3", "1.38.3"} }

// What the bootstrap says where Options say otherwise.
const (
	DefaultStateDir     = "/run/lambda-dispatch"
	DefaultAdminAddress = "127.0.0.1:9901"
)

const adminLine = "{address: 127.0.0.1, port_value: 9901}"

//go:embed bootstrap.yaml
var bootstrap []byte

// Bootstrap returns bootstrap.yaml with another state directory and admin address (host:port, port 0 for any free one).
// Empty strings keep what the file says.
func Bootstrap(stateDir, adminAddress string) ([]byte, error) {
	out := bytes.Clone(bootstrap)
	if stateDir != "" {
		for _, socket := range []string{"/control.sock", "/caretaker.sock"} {
			there := fmt.Sprintf("{path: %q}", stateDir+socket)
			out = bytes.Replace(out, []byte("{path: "+DefaultStateDir+socket+"}"), []byte(there), 1)
		}
	}
	if adminAddress != "" {
		host, port, err := net.SplitHostPort(adminAddress)
		if err != nil {
			return nil, fmt.Errorf("envoy: admin address %q: %w", adminAddress, err)
		}
		admin := fmt.Sprintf("{address: %q, port_value: %s}", host, port)
		out = bytes.Replace(out, []byte(adminLine), []byte(admin), 1)
	}
	return out, nil
}
