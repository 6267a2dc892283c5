// Package e2e_test proves the acceptance scenarios through a real Envoy, the control plane, lambdalocal and real function
// processes. A number in a test's comment is the scenario's.
package e2e_test

import (
	"testing"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

func TestMain(m *testing.M) { controlplanetest.Main(m) }
