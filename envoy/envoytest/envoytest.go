// Package envoytest finds the pinned Envoy for tests.
package envoytest

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// PartsVariable says, with the value "required", that a test without a fetched part fails instead of being skipped. The
// targets of make fetch the parts and set it.
const PartsVariable = "TEST_PARTS"

// Binary returns the path of an Envoy of the pinned version. Without one it skips the test.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := envoy.Find(t.Context())
	if errors.Is(err, envoy.ErrNotFound) && os.Getenv(PartsVariable) != "required" {
		t.Skip(err)
	}
	require.NoError(t, err)
	return binary
}
