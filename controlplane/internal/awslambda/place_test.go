package awslambda

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// tokenService is STS: it lends the credentials of any role, named after its account, until they expire.
type tokenService struct {
	expires time.Time
	denies  bool

	mu    sync.Mutex
	asked []string // roles, in order
}

func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	role := r.FormValue("RoleArn")
	s.mu.Lock()
	s.asked = append(s.asked, role)
	s.mu.Unlock()
	if s.denies {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>`)
		return
	}
	_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><Arn>%s</Arn><AssumedRoleId>x:lambda-dispatch</AssumedRoleId></AssumedRoleUser>
		<Credentials><AccessKeyId>OF-%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials>
		</AssumeRoleResult></AssumeRoleResponse>`, role, strings.Split(role, ":")[4], s.expires.UTC().Format(time.RFC3339))
}

const (
	roleOfOne = "arn:aws:iam::111111111111:role/dispatch"
	roleOfTwo = "arn:aws:iam::222222222222:role/dispatch"
)

// placed is an API with both services, and what the last invocation was signed with.
func placed(t *testing.T, sts *tokenService) (api *API, signed func() string) {
	t.Helper()
	tokens := httptest.NewServer(sts)
	t.Cleanup(tokens.Close)
	var last string
	lambda := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last = r.Header.Get("Authorization")
		_, _ = fmt.Fprint(w, `{"lambda_dispatch":1,"instance":"i1","reason":"scale_in"}`)
	}))
	t.Cleanup(lambda.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", tokens.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "OURS")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	api, err := New(t.Context(), "eu-central-1", lambda.URL)
	require.NoError(t, err)
	return api, func() string { return last }
}

// Each function is invoked as its role and in its region; a role is assumed once for all its functions.
func TestFunctionsOfOtherAccountsAndRegionsAreInvokedAsTheirRoles(t *testing.T) {
	sts := &tokenService{expires: time.Now().Add(time.Hour)}
	api, signed := placed(t, sts)
	for _, tt := range []struct {
		place Place
		want  string // in the signature
	}{
		{Place{}, ""}, // lambdalocal, which is on this machine, gets no credentials of ours
		{Place{Region: "us-east-1"}, ""},
		{Place{Role: roleOfOne}, "/eu-central-1/lambda/"},
		{Place{Role: roleOfOne, Region: "us-east-1"}, "/us-east-1/lambda/"},
		{Place{Role: roleOfTwo}, "OF-222222222222/"},
	} {
		for range 2 {
			require.Empty(t, api.Function(tt.place, "web", "live").Invoke(t.Context(), "", invocation).Cause, tt.place)
		}
		if tt.want == "" {
			require.Empty(t, signed(), tt.place)
			continue
		}
		require.Contains(t, signed(), tt.want)
		require.Contains(t, signed(), "OF-"+strings.Split(tt.place.Role, ":")[4])
	}
	require.Equal(t, []string{roleOfOne, roleOfOne, roleOfTwo}, sts.asked, "once for each place")
}

func TestCredentialsOfARoleAreRenewedBeforeTheyExpire(t *testing.T) {
	sts := &tokenService{expires: time.Now().Add(renewBefore - time.Second)}
	api, _ := placed(t, sts)
	for range 2 {
		require.Empty(t, api.Function(Place{Role: roleOfOne}, "web", "").Invoke(t.Context(), "", invocation).Cause)
	}
	require.Len(t, sts.asked, 2)
}

func TestARoleThatMayNotBeAssumedIsDeniedAndCostsNothing(t *testing.T) {
	api, signed := placed(t, &tokenService{denies: true})
	end := api.Function(Place{Role: roleOfOne}, "web", "").Invoke(t.Context(), "", invocation)
	require.Equal(t, scaler.Denied, end.Cause, end.Detail)
	require.True(t, end.NeverRan)
	require.Contains(t, end.Detail, "not you")
	require.Empty(t, signed())
}
