package spelling_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/spelling"
)

func TestHeadersAreRemovedInAllSpellings(t *testing.T) {
	h := http.Header{}
	for _, name := range []string{"X-A-B", "X_A_B", "x-A_b", "x_A-B", "X-A", "X-A-Bc", "X-A.B", "Other-Name"} {
		h.Set(name, "1")
	}
	h["x_a_b"] = []string{"1"} // no client of net/http sends it, HTTP/2 does
	spelling.Remove(h, "X-A-B", "Other-Name")
	require.Equal(t, http.Header{"X-A": {"1"}, "X-A-Bc": {"1"}, "X-A.b": {"1"}}, h)
}
