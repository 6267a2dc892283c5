package lambdapeer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const patience = 10 * time.Second

// start runs a Peer whose handler tells what lambdapeer tells it, and ends it with the test, without leaks.
func start(t *testing.T, env map[string]string, log io.Writer) (cancel func(), ended chan error) {
	ignore := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	done := make(chan struct{})
	peer := lambdapeer.Peer{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %d", lambdapeer.Environment(r.Context()), lambdapeer.InFlight(r.Context()))
		}),
		Logger: slog.New(slog.NewJSONHandler(log, nil)),
		Getenv: func(name string) string { return env[name] },
	}
	go func() {
		defer close(done)
		ended <- peer.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		goleak.VerifyNone(t, ignore)
	})
	return cancel, ended
}

func body(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(data)
}

func TestRunsAsLambdaRuntime(t *testing.T) {
	api, relay := runtimetest.Start(t), relaytest.StartTLS(t)
	t.Cleanup(relay.Close)
	cancel, ended := start(t, map[string]string{
		"AWS_LAMBDA_RUNTIME_API":     api.Address(),
		"AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]abc", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
	}, io.Discard)
	event, err := json.Marshal(relaytest.Invocation(2, relay))
	require.NoError(t, err)
	api.Invoke("one", string(event), time.Now().Add(time.Minute))
	_, hello := relay.Welcome(t)
	require.Regexp(t, "^[a-z0-9]{16}$", hello.Environment)
	require.Equal(t, "$LATEST", hello.FunctionVersion)
	require.Equal(t, []string{"one", "2026/11/23/[$LATEST]abc"}, []string{hello.RequestID, hello.LogStream})
	client := relay.Client(t, true)
	require.Equal(t, hello.Environment+" 1", body(t, client, "http://app/"))
	cancel()
	report, err := wire.DecodeReport([]byte(api.Answer(t).Body))
	require.NoError(t, err)
	require.Equal(t, wire.ReasonShutdown, report.Reason)
	require.NoError(t, <-ended)
	require.Equal(t, "lambdapeer-runtime", <-api.Registered)
}

func TestAnswersEventsOfOthers(t *testing.T) {
	api := runtimetest.Start(t)
	_, _ = start(t, map[string]string{
		"AWS_LAMBDA_RUNTIME_API": api.Address(), "LAMBDA_DISPATCH_PEER_EVENT_PATH": "/x",
	}, io.Discard)
	api.Invoke("a", `{"httpMethod":"GET","path":"/","requestContext":{"elb":{}}}`, time.Now().Add(time.Minute))
	answer := api.Answer(t)
	require.False(t, answer.Error)
	require.Regexp(t, `"body":"[a-z0-9]{16} 1"`, answer.Body)
	require.Contains(t, answer.Body, `"Content-Type":"text/plain; charset=utf-8"`)
	api.Invoke("b", `{"key1":"value1"}`, time.Now().Add(time.Minute))
	answer = api.Answer(t)
	require.Equal(t, "b", answer.ID)
	require.Regexp(t, `^"[a-z0-9]{16} 1"\n$`, answer.Body)
	require.Equal(t, "lambdapeer-runtime", <-api.Registered, "or else Lambda would send no SIGTERM")
}

func TestAHandlersProgramHearsOfFreezes(t *testing.T) {
	api := runtimetest.Start(t)
	heard := make(chan string, 8)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	peer := lambdapeer.Peer{
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard <- "request" }),
		Getenv:   func(name string) string { return map[string]string{"AWS_LAMBDA_RUNTIME_API": api.Address()}[name] },
		Logger:   slog.New(slog.NewTextHandler(t.Output(), nil)),
		OnFreeze: func(context.Context) { heard <- "freeze" },
		OnThaw:   func(context.Context) { heard <- "thaw" },
	}
	go func() { ended <- peer.Run(ctx) }()
	for range 2 {
		api.Invoke("a", `{"key1":"value1"}`, time.Now().Add(time.Minute))
		require.False(t, api.Answer(t).Error)
	}
	for _, want := range []string{"request", "freeze", "thaw", "request", "freeze"} {
		require.Equal(t, want, <-heard)
	}
	cancel()
	require.NoError(t, <-ended)
}

func TestListensOnPortElsewhere(t *testing.T) {
	logs, log := io.Pipe()
	cancel, ended := start(t, map[string]string{"PORT": "0"}, log)
	var line struct{ Msg, Address string }
	require.NoError(t, json.NewDecoder(logs).Decode(&line))
	require.Equal(t, "listening", line.Msg)
	host, _, err := net.SplitHostPort(line.Address)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", host)
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		answer := body(t, &http.Client{Transport: transport}, (&url.URL{Scheme: "http", Host: line.Address}).String())
		require.Regexp(t, `^[a-z0-9]{16} 1$`, answer)
		transport.CloseIdleConnections()
	}
	cancel()
	require.NoError(t, <-ended)
}

// A client that sends half a header, or nothing, must not hold a connection for ever.
func TestAPlainPortWaitsForHeadersForALimitedTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	logs, log := io.Pipe()
	_, _ = start(t, map[string]string{"PORT": "0"}, log)
	var line struct{ Msg, Address string }
	require.NoError(t, json.NewDecoder(logs).Decode(&line))
	for _, sent := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP/2.0\r\n"} {
		t.Run(sent, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", line.Address)
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, sent)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(2*patience)))
			_, err = io.ReadAll(conn) // nothing, or a 408
			require.NoError(t, err, "the connection is still open")
		})
	}
}

func TestRegistersByItself(t *testing.T) {
	relay := relaytest.Start(t)
	relay.HandleRegister(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(relaytest.Invocation(2, relay))
	})
	_, ended := start(t, map[string]string{
		"LAMBDA_DISPATCH_PEER_RELAY": "http://" + relay.Wire().Address, "LAMBDA_DISPATCH_PEER_FUNCTION": "web",
		"LAMBDA_DISPATCH_PEER_TOKEN": "t",
	}, io.Discard)
	relay.Welcome(t)
	require.Empty(t, ended)
}

func TestBadVariablesAreErrors(t *testing.T) {
	for _, env := range []map[string]string{{"PORT": "x"}, {"LAMBDA_DISPATCH_PEER_RELAY": "x"}, {"LAMBDA_DISPATCH_PEER_EVENT_PATH": "x"}} {
		_, ended := start(t, env, io.Discard)
		select {
		case err := <-ended:
			for name := range env {
				require.ErrorContains(t, err, name+`: "x"`)
			}
		case <-time.After(patience):
			require.FailNow(t, "no error")
		}
	}
}

func TestContextsOfOthersTellNothing(t *testing.T) {
	require.Empty(t, lambdapeer.Environment(t.Context()))
	require.Zero(t, lambdapeer.InFlight(t.Context()))
}
