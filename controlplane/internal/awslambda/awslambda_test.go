package awslambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// service is an Invoke API that gives one answer to everything and remembers the last request.
type service struct {
	status  int
	headers map[string]string
	body    string

	path  string
	query string
	got   []byte
	calls int
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.path, s.query, s.calls = r.URL.Path, r.URL.RawQuery, s.calls+1
	s.got, _ = io.ReadAll(r.Body)
	for name, value := range s.headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.body)
}

func invoke(t *testing.T, s *service) dispatch.End {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	return invokeAt(t, server.URL)
}

func invokeAt(t *testing.T, url string) dispatch.End {
	t.Helper()
	api, err := New(t.Context(), "", url)
	require.NoError(t, err)
	return api.Function("web", "live").Invoke(t.Context(), invocation)
}

var invocation = wire.Invocation{Version: wire.Version, Instance: "i1", Token: "a-secret-token"}

func TestInvocationCarriesThePayloadAndReturnsTheReport(t *testing.T) {
	tail := "START\nREPORT RequestId: fake\tBilled Duration: 9 ms\t\n" +
		"REPORT RequestId: 1\tDuration: 812.20 ms\tBilled Duration: 1013 ms\tMemory Size: 512 MB\tMax Memory Used: 81 MB\tInit Duration: 200.10 ms\t\n"
	s := &service{
		status:  200,
		headers: map[string]string{"X-Amz-Log-Result": base64.StdEncoding.EncodeToString([]byte(tail))},
		body:    `{"lambda_dispatch":1,"instance":"i1","reason":"scale_in","requests":7}`,
	}
	end := invoke(t, s)
	require.Equal(t, "/2015-03-31/functions/web/invocations", s.path)
	require.Equal(t, "Qualifier=live", s.query)
	var sent wire.Invocation
	require.NoError(t, json.Unmarshal(s.got, &sent))
	require.Equal(t, "i1", sent.Instance)
	require.Empty(t, end.Cause)
	require.EqualValues(t, 7, end.Report.Requests)
	require.Equal(t, dispatch.Usage{
		Billed: 1013 * time.Millisecond, Init: 200100 * time.Microsecond, MemoryMB: 512, MaxMB: 81,
	}, end.Usage)
}

func TestErrorsOfTheServiceAreClassified(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		cause  scaler.Cause
	}{
		"TooManyRequestsException":       {429, scaler.Throttled},
		"AccessDeniedException":          {403, scaler.Denied},
		"ResourceNotFoundException":      {404, scaler.NotFound},
		"ServiceException":               {500, scaler.Unknown},
		"InvalidRequestContentException": {400, scaler.Unknown},
	} {
		s := &service{status: want.status, headers: map[string]string{"X-Amzn-Errortype": code}, body: `{"Message":"no"}`}
		end := invoke(t, s)
		require.Equal(t, want.cause, end.Cause, code)
		require.Equal(t, 1, s.calls, "the SDK must not retry: every call may cost money")
	}
}

func TestFunctionErrorsAreClassified(t *testing.T) {
	for body, want := range map[string]scaler.Cause{
		`{"errorType":"Runtime.ExitError","errorMessage":"exit status 1"}`:        scaler.Crashed,
		`{"errorMessage":"2026-11-23 Task timed out after 3.00 seconds"}`:         scaler.Crashed,
		`{"errorType":"Extension.InitError","errorMessage":"exit status 2"}`:      scaler.InitFailed,
		`{"errorType":"Extension.Crash","errorMessage":"signal: killed"}`:         scaler.Crashed,
		`{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"no such file"}`: scaler.InitFailed,
		`gibberish`: scaler.Crashed,
	} {
		end := invoke(t, &service{status: 200, headers: map[string]string{"X-Amz-Function-Error": "Unhandled"}, body: body})
		require.Equal(t, want, end.Cause, body)
	}
}

func TestReportsOfPeersThatCouldNotServe(t *testing.T) {
	for reason, want := range map[wire.Reason]scaler.Cause{
		wire.ReasonRelayUnreachable: scaler.Network,
		wire.ReasonAppUnhealthy:     scaler.InitFailed,
		wire.ReasonAppExited:        scaler.Crashed,
		wire.ReasonRefused:          scaler.Unknown,
		wire.ReasonDeadline:         "",
	} {
		body, err := json.Marshal(wire.Report{Version: 1, Instance: "i1", Reason: reason})
		require.NoError(t, err)
		require.Equal(t, want, invoke(t, &service{status: 200, body: string(body)}).Cause, reason)
	}
}

func TestAnAnswerThatIsNoReportSaysWhatIsMissing(t *testing.T) {
	end := invoke(t, &service{status: 200, body: `"Hello from Lambda!"`})
	require.Equal(t, scaler.InitFailed, end.Cause)
	require.Contains(t, end.Detail, "lambdapeer")
}

func TestTheTokenIsInNoDetail(t *testing.T) {
	echo := `{"errorType":"Error","errorMessage":"unexpected event {\"token\": \"a-secret-token\"} ` + strings.Repeat("x", 9000) + `"}`
	end := invoke(t, &service{status: 200, headers: map[string]string{"X-Amz-Function-Error": "Unhandled"}, body: echo})
	require.Contains(t, end.Detail, "unexpected event")
	require.NotContains(t, end.Detail, "secret")
	require.LessOrEqual(t, len(end.Detail), wire.MaxDetail)
}

// AWS may speak HTTP/2, and the SDK bounds the reads of most services: neither is good for answers that take a quarter of
// an hour.
func TestEveryInvocationHasAConnectionOfItsOwnWithoutATimeout(t *testing.T) {
	const together = 10
	protocols := make(chan string, together)
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.Proto
		<-released
		_, _ = io.WriteString(w, `{"lambda_dispatch":1,"instance":"i1","reason":"scale_in"}`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer release()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(bundle, ca, 0o600))
	t.Setenv("AWS_CA_BUNDLE", bundle)
	t.Setenv("AWS_ENABLE_DEFAULT_SOCKET_TIMEOUT_2026", "true")
	api, err := New(t.Context(), "", server.URL)
	require.NoError(t, err)
	client := api.client.Options().HTTPClient.(*awshttp.BuildableClient)
	timeout, _ := client.GetReadTimeout()
	require.Zero(t, timeout)
	require.Zero(t, client.GetTimeout())

	var all sync.WaitGroup
	for range together {
		all.Go(func() { assert.Empty(t, api.Function("web", "").Invoke(t.Context(), invocation).Cause) })
	}
	for range together {
		require.Equal(t, "HTTP/1.1", <-protocols)
	}
	release()
	all.Wait()
}

func TestACanceledInvocationReturnsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	api, err := New(ctx, "", server.URL)
	require.NoError(t, err)
	require.Equal(t, scaler.Network, api.Function("web", "").Invoke(ctx, invocation).Cause)
}

// The answer of a function may be lost, its report forged, or of a later version: none of that gets far.
func TestReportsAreValidated(t *testing.T) {
	for body, says := range map[string]string{
		`{"lambda_dispatch":2,"instance":"i1","reason":"scale_in"}`:               "version 2",
		`{"lambda_dispatch":1,"instance":"i1","reason":"not a word"}`:             "reason",
		`{"lambda_dispatch":1,"instance":"i1","reason":"scale_in","requests":-1}`: "requests",
	} {
		end := invoke(t, &service{status: 200, body: body})
		require.Equal(t, scaler.InitFailed, end.Cause)
		require.Contains(t, end.Detail, says)
		require.Nil(t, end.Report)
	}
}

func TestNoServiceIsANetworkFailure(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	require.Equal(t, scaler.Network, invokeAt(t, url).Cause)
}

func TestARegionIsNeededForAWS(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	_, err := New(context.Background(), "", "")
	require.ErrorContains(t, err, "aws.region")
}

func FuzzParseTail(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString([]byte("REPORT RequestId: 1\tBilled Duration: 1 ms\t\n")))
	f.Add("%")
	f.Fuzz(func(t *testing.T, s string) {
		u := parseTail(s)
		require.GreaterOrEqual(t, u.Billed, time.Duration(0))
		require.GreaterOrEqual(t, u.MemoryMB, 0)
	})
}
