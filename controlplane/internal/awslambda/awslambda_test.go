package awslambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
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

func invoke(t *testing.T, s *service) provider.End {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	return invokeAt(t, server.URL)
}

func invokeAt(t *testing.T, url string) provider.End {
	t.Helper()
	api, err := New(t.Context(), "", url)
	require.NoError(t, err)
	return api.Function(Place{}, "web", "live").Invoke(t.Context(), "", invocation)
}

var invocation = wire.Invocation{Version: wire.Version, Instance: "i1", Token: "a-secret-token"}

func TestInvocationCarriesThePayloadAndReturnsTheReport(t *testing.T) {
	tail := "START\nREPORT RequestId: fake\tBilled Duration: 9 ms\t\n" +
		"REPORT RequestId: 1\tDuration: 812.20 ms\tBilled Duration: 1013 ms\tMemory Size: 512 MB\tMax Memory Used: 81 MB\tInit Duration: 200.10 ms\t\n"
	s := &service{
		status:  200,
		headers: map[string]string{"X-Amz-Log-Result": base64.StdEncoding.EncodeToString([]byte(tail)), "X-Amzn-RequestId": "r-1"},
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
	require.Equal(t, "r-1", end.Request)
	require.Equal(t, bill.Usage{
		Billed: 1013 * time.Millisecond, Init: 200100 * time.Microsecond, MemoryMB: 512,
	}, end.Usage)
}

func TestErrorsOfTheServiceAreClassified(t *testing.T) {
	for _, tt := range []struct {
		code   string
		status int
		cause  scaler.Cause
	}{
		{"TooManyRequestsException", 429, scaler.Throttled},
		{"AccessDeniedException", 403, scaler.Denied},
		{"ResourceNotFoundException", 404, scaler.NotFound},
		{"RequestTooLargeException", 413, scaler.TooLarge},
		{"InvalidRuntimeException", 502, scaler.InitFailed},
		{"EFSMountTimeoutException", 408, scaler.InitFailed},
		{"SubnetIPAddressLimitReachedException", 502, scaler.InitFailed},
		{"KMSDisabledException", 502, scaler.InitFailed},
		{"RecursiveInvocationException", 400, scaler.Recursive},
		{"ResourceConflictException", 409, scaler.Unknown}, // while the function is updated: it passes
		{"ResourceNotReadyException", 502, scaler.Unknown},
		{"ServiceException", 500, scaler.Unknown},
		{"InvalidRequestContentException", 400, scaler.Unknown},
		{"", 429, scaler.Throttled}, // of something in between
		{"", 403, scaler.Denied},
		{"", 413, scaler.TooLarge},
		{"", 503, scaler.Unknown},
	} {
		s := &service{status: tt.status, headers: map[string]string{"X-Amzn-Errortype": tt.code}, body: `{"Message":"no"}`}
		end := invoke(t, s)
		require.Equal(t, tt.cause, end.Cause, "%s %d", tt.code, tt.status)
		require.True(t, end.NeverRan, "nothing to bill")
		require.Equal(t, 1, s.calls, "the SDK must not retry: every call may cost money")
	}
}

// TestEveryReasonOfThrottlingIsKnown fails when a newer SDK knows one that this package does not.
func TestEveryReasonOfThrottlingIsKnown(t *testing.T) {
	want := map[types.ThrottleReason]scaler.Cause{
		"ConcurrentInvocationLimitExceeded":                 scaler.ThrottledAccount,
		"FunctionInvocationRateLimitExceeded":               scaler.ThrottledRate,
		"CallerRateLimitExceeded":                           scaler.ThrottledRate,
		"ReservedFunctionConcurrentInvocationLimitExceeded": scaler.ThrottledReserved,
		"ReservedFunctionInvocationRateLimitExceeded":       scaler.ThrottledReserved,
		"ConcurrentSnapshotCreateLimitExceeded":             scaler.Throttled,
	}
	require.Len(t, want, len(types.ThrottleReason("").Values()))
	want["OfTomorrow"] = scaler.Throttled
	for reason, cause := range want {
		end := invoke(t, &service{
			status: 429, headers: map[string]string{"X-Amzn-Errortype": "TooManyRequestsException"},
			body: fmt.Sprintf(`{"Reason":%q,"message":"Rate Exceeded."}`, reason),
		})
		require.Equal(t, cause, end.Cause, reason)
		require.True(t, end.NeverRan)
	}
}

func TestFunctionErrorsAreClassified(t *testing.T) {
	for body, want := range map[string]scaler.Cause{
		`{"errorType":"Runtime.ExitError","errorMessage":"exit status 1"}`:              scaler.Crashed,
		`{"errorMessage":"RequestId: 1 Process exited before completing request"}`:      scaler.Crashed,
		`{"errorType":"Sandbox.Failure","errorMessage":"?"}`:                            scaler.Crashed,
		`{"errorMessage":"2026-11-23 Task timed out after 3.00 seconds"}`:               scaler.TimedOut,
		`{"errorType":"Sandbox.Timedout","errorMessage":"Task timed out after 3.00 s"}`: scaler.TimedOut,
		`{"errorType":"Extension.InitError","errorMessage":"exit status 2"}`:            scaler.InitFailed,
		`{"errorType":"Extension.Crash","errorMessage":"signal: killed"}`:               scaler.Crashed,
		`{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"no such file"}`:       scaler.InitFailed,
		`{"errorType":"Runtime.ImportModuleError","errorMessage":"No module"}`:          scaler.InitFailed,
		`{"errorType":"KeyError","errorMessage":"'lambda_dispatch'"}`:                   scaler.FunctionError,
		`{"errorType":"LambdaDispatch.Untrusted","errorMessage":"not signed"}`:          scaler.Untrusted,
		`gibberish`: scaler.Crashed,
	} {
		end := invoke(t, &service{status: 200, headers: map[string]string{"X-Amz-Function-Error": "Unhandled"}, body: body})
		require.Equal(t, want, end.Cause, body)
		require.False(t, end.NeverRan, "it is billed")
	}
	handled := invoke(t, &service{
		status: 200, headers: map[string]string{"X-Amz-Function-Error": "Handled"}, body: `{"errorMessage":"no"}`,
	})
	require.Equal(t, scaler.FunctionError, handled.Cause)
}

func TestReportsOfPeersThatCouldNotServe(t *testing.T) {
	for reason, want := range map[wire.Reason]scaler.Cause{
		wire.ReasonRelayUnreachable: scaler.Network,
		wire.ReasonAppUnhealthy:     scaler.AppUnhealthy,
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
	client := api.in(Place{}).Options().HTTPClient.(*awshttp.BuildableClient)
	timeout, _ := client.GetReadTimeout()
	require.Zero(t, timeout)
	require.Zero(t, client.GetTimeout())
	require.True(t, client.GetDialer().KeepAliveConfig.Enable, "a silent quarter of an hour is long for what is in between")

	var all sync.WaitGroup
	for range together {
		all.Go(func() { assert.Empty(t, api.Function(Place{}, "web", "").Invoke(t.Context(), "", invocation).Cause) })
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
	require.Equal(t, scaler.Network, api.Function(Place{}, "web", "").Invoke(ctx, "", invocation).Cause)
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
	end := invokeAt(t, url)
	require.Equal(t, scaler.Network, end.Cause)
	require.True(t, end.NeverRan)
}

// A function may be running although nobody hears of it any more.
func TestAConnectionThatBreaksAfterTheRequestMayHaveStartedSomething(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"lambda_"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			_, _ = io.WriteString(conn, answer)
			assert.NoError(t, conn.Close())
		}))
		end := invokeAt(t, server.URL)
		server.Close()
		require.Equal(t, scaler.Network, end.Cause, answer)
		require.False(t, end.NeverRan, end.Detail)
		require.Nil(t, end.Report)
	}
}

func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	api, err := New(t.Context(), "us-east-1", "http://lambda.invalid")
	require.NoError(t, err)
	end := api.Function(Place{}, "web", "").Invoke(t.Context(), "", invocation)
	require.Equal(t, scaler.Denied, end.Cause, end.Detail)
	require.True(t, end.NeverRan)
}

// A burst that follows another finds the connections of the first.
func TestConnectionsAreKeptForAsManyAsRan(t *testing.T) {
	const together = 150 // more than the transport keeps by default
	var opened atomic.Int64
	arrived, answer := make(chan struct{}, together), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-answer
		_, _ = io.WriteString(w, `{"lambda_dispatch":1,"instance":"i1","reason":"scale_in"}`)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	api, err := New(t.Context(), "", server.URL)
	require.NoError(t, err)
	for range 2 {
		var all sync.WaitGroup
		for range together {
			all.Go(func() { assert.Empty(t, api.Function(Place{}, "web", "").Invoke(t.Context(), "", invocation).Cause) })
		}
		for range together {
			<-arrived
		}
		for range together {
			answer <- struct{}{}
		}
		all.Wait()
	}
	require.EqualValues(t, together, opened.Load())
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

func FuzzFunctionError(f *testing.F) {
	f.Add([]byte(`{"errorType":"Runtime.ExitError","errorMessage":"exit status 1"}`), false)
	f.Add([]byte(`[`), true)
	f.Fuzz(func(t *testing.T, payload []byte, handled bool) {
		cause, _ := functionError(payload, handled)
		require.Contains(t, scaler.StartCauses, cause)
	})
}
