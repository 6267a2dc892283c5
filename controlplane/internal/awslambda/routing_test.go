package awslambda

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
)

func routing(t *testing.T, s *service, qualifier string) (provider.Routing, error) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	api, err := New(t.Context(), "", server.URL)
	require.NoError(t, err)
	return api.Function(Place{}, "web", qualifier).Routing(t.Context())
}

func TestAnAliasLeadsToOneVersionOrTwo(t *testing.T) {
	for body, want := range map[string]pool.Route{
		`{"FunctionVersion":"7"}`:                                                        {Version: "7"},
		`{"FunctionVersion":"7","RoutingConfig":{}}`:                                     {Version: "7"},
		`{"FunctionVersion":"7","RoutingConfig":{"AdditionalVersionWeights":{}}}`:        {Version: "7"},
		`{"FunctionVersion":"7","RoutingConfig":{"AdditionalVersionWeights":{"8":0}}}`:   {Version: "7"},
		`{"FunctionVersion":"7","RoutingConfig":{"AdditionalVersionWeights":{"8":0.2}}}`: {Version: "7", Extra: "8", Share: 0.2},
	} {
		s := &service{status: 200, body: body}
		r, err := routing(t, s, "live")
		require.NoError(t, err)
		require.Equal(t, provider.Routing{Route: want}, r, body)
		require.Equal(t, "/2015-03-31/functions/web/aliases/live", s.path)
	}
}

// The code of $LATEST and its configuration change without a number that tells.
func TestLatestHasARevision(t *testing.T) {
	const body = `{"LastModified":"2026-11-28T20:00:00.000+0000","CodeSha256":"c29tZQ=="}`
	for _, qualifier := range []string{"", "$LATEST"} {
		s := &service{status: 200, body: body}
		r, err := routing(t, s, qualifier)
		require.NoError(t, err)
		require.Equal(t, provider.Routing{Revision: "2026-11-28T20:00:00.000+0000 c29tZQ=="}, r)
		require.Equal(t, "/2015-03-31/functions/web/configuration", s.path)
	}
}

func TestAVersionIsNotAskedFor(t *testing.T) {
	s := &service{status: 500}
	r, err := routing(t, s, "42")
	require.NoError(t, err)
	require.Equal(t, provider.Routing{}, r)
	require.Zero(t, s.calls)
}

// Without the right, asking again at once is of no use; anything else may pass.
func TestErrorsOfReadingNameWhatWasRead(t *testing.T) {
	for _, tt := range []struct {
		status          int
		code, qualifier string
		forbidden       bool
		says            string
	}{
		{403, "AccessDeniedException", "live", true, "alias: "},
		{403, "AccessDeniedException", "", true, "configuration: "},
		{401, "", "live", true, "alias: "},
		{404, "ResourceNotFoundException", "live", false, "alias: "},
		{429, "TooManyRequestsException", "live", false, "alias: "},
		{500, "ServiceException", "", false, "configuration: "},
	} {
		s := &service{status: tt.status, headers: map[string]string{"X-Amzn-Errortype": tt.code}, body: `{"Message":"no"}`}
		_, err := routing(t, s, tt.qualifier)
		require.ErrorContains(t, err, tt.says)
		require.Equal(t, tt.forbidden, errors.Is(err, provider.ErrForbidden), "%d %s", tt.status, tt.code)
		require.Equal(t, tt.status == 404, errors.Is(err, provider.ErrGone), "%d %s", tt.status, tt.code)
		require.Equal(t, 1, s.calls)
	}
}
