package request

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

func TestATraceIDHasTheServicesForm(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	require.Regexp(t, `^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`, TraceID(r))
	r.Header.Set(TraceHeader, "Root=1-x")
	require.Equal(t, "Root=1-x", TraceID(r))
}

func TestABodyHasALimit(t *testing.T) {
	body, err := Body(httptest.NewRequest("POST", "/", strings.NewReader("1234")), 4)
	require.NoError(t, err)
	require.Equal(t, "1234", string(body))
	tooLarge := httptest.NewRequest("POST", "/", strings.NewReader("12345"))
	_, err = Body(tooLarge, 4)
	var e *serviceerror.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, serviceerror.TypeTooLarge, e.Type)
	rest, err := Body(tooLarge, 4)
	require.NoError(t, err)
	require.Empty(t, rest, "what was sent has been read")
}
