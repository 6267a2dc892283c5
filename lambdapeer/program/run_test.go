package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const patience = 15 * time.Second

// peer is a run of the binary's code in this process.
type peer struct {
	cancel context.CancelCauseFunc
	ended  chan error
}

// start runs the peer and ends it with the test. Call leaks first, where leaks count.
func start(t *testing.T, env map[string]string, args ...string) *peer {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &peer{cancel: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		environ := environOf(env)
		p.ended <- run(ctx, append([]string{"/opt/extensions/lambdapeer"}, args...), environ, io.Discard, t.Output())
	}()
	t.Cleanup(func() {
		cancel(nil)
		<-done
	})
	return p
}

// startHasty runs a peer, as an extension, that gives its app no time in the init phase.
func startHasty(t *testing.T, env map[string]string) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s, err := parse([]string{"lambdapeer"}, func(name string) string { return env[name] })
		if err == nil {
			s.initLimit = time.Millisecond
			_ = s.serve(ctx, cancel, newLogger(t.Output(), s.level))
		}
	}()
	t.Cleanup(func() { cancel(nil); <-ended })
}

func environOf(env map[string]string) []string {
	var environ []string
	for name, text := range env {
		environ = append(environ, name+"="+text)
	}
	return environ
}

func (p *peer) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience):
		require.FailNow(t, "the peer does not end")
		return nil
	}
}

func leaks(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

func portOf(s *httptest.Server) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

// payload is the event of an invocation.
func payload(t *testing.T, slots int, relays ...*relaytest.Relay) string {
	t.Helper()
	data, err := json.Marshal(relaytest.Invocation(slots, relays...))
	require.NoError(t, err)
	return string(data)
}

func reportOf(t *testing.T, a runtimetest.Answer) wire.Report {
	t.Helper()
	require.False(t, a.Error, a.Body)
	report, err := wire.DecodeReport([]byte(a.Body))
	require.NoError(t, err)
	return report
}

func newApp(t testing.TB, h http.HandlerFunc) *httptest.Server {
	app := httptest.NewServer(h)
	t.Cleanup(app.Close)
	return app
}

func TestExtensionServesInvocationAfterInvocation(t *testing.T) {
	leaks(t)
	api := runtimetest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the app") })
	p := start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)})
	require.Equal(t, "lambdapeer", <-api.Registered)
	environment := ""
	for n := range 3 {
		id := fmt.Sprint("invocation-", n)
		relay := relaytest.StartTLS(t)
		api.Invoke(id, payload(t, 5, relay), time.Now().Add(time.Minute))
		control, hello := relay.Welcome(t)
		require.Equal(t, n == 0, hello.Cold)
		require.Equal(t, []string{id, ""}, []string{hello.RequestID, hello.LogStream}, "Lambda tells extensions no stream")
		require.Contains(t, []string{"", hello.Environment}, environment, "the same in each invocation")
		environment = hello.Environment
		res, err := relay.Client(t, true).Get("http://app/")
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, "from the app", string(body))
		control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
		answer := api.Answer(t)
		require.Equal(t, id, answer.ID)
		report := reportOf(t, answer)
		require.Equal(t, wire.ReasonScaleIn, report.Reason)
		require.EqualValues(t, 1, report.Requests)
	}
	api.Shutdown("spindown")
	require.NoError(t, p.end(t))
}

func TestShutdownWhileServingReportsAndEnds(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	app := newApp(t, func(http.ResponseWriter, *http.Request) {})
	p := start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)})
	api.Invoke("one", payload(t, 5, relay), time.Now().Add(time.Minute))
	relay.Welcome(t)
	_, err := relay.Client(t, true).Get("http://app/")
	require.NoError(t, err)
	api.Shutdown("timeout")
	require.Equal(t, wire.ReasonShutdown, reportOf(t, api.Answer(t)).Reason)
	require.NoError(t, p.end(t))
}

func TestBadInvocationsAreRefusedAndTheNextOneServed(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	app := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			t.Error("an invocation of ours reached the app as an event")
		}
	})
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)})
	for event, want := range map[string]string{
		`{"lambda_dispatch":9}`:   "version 9 is not supported; this end speaks version 1",
		`{"lambda_dispatch":1}`:   "instance: required",
		`{"lambda_dispatch":"x"}`: "invocation: ",
	} {
		api.Invoke("bad", event, time.Time{})
		answer := api.Answer(t)
		require.True(t, answer.Error)
		require.Contains(t, answer.Body, want)
		require.Contains(t, answer.Body, `"errorType":"LambdaDispatch.`)
	}
	api.Invoke("ours", payload(t, 5, relay), time.Now().Add(time.Minute))
	relay.Welcome(t)
}

// Scenario 1: no traffic before the app is ready, and a clear cause if it never is.
func TestAppThatNeverGetsReadyEndsTheInvocation(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), timeoutVar: "1s"}) // time for an answer, too
	api.Invoke("one", payload(t, 5, relay), time.Now().Add(time.Minute))
	report := reportOf(t, api.Answer(t))
	require.Equal(t, wire.ReasonAppUnhealthy, report.Reason)
	require.Equal(t, "not ready within 1s: GET "+app.URL+"/ answered 503", report.Detail)
	require.Zero(t, relay.Dials(wire.ControlPath))
}

// Scenario 1: an app slower than the init phase comes up inside its first invocation.
func TestSlowAppComesUpInsideItsInvocation(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	ready := make(chan struct{})
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-ready:
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	startHasty(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)})
	<-api.Asked // for an invocation, although the app is not ready
	api.Invoke("one", payload(t, 5, relay), time.Now().Add(time.Minute))
	require.Zero(t, relay.Dials(wire.ControlPath))
	close(ready)
	relay.Welcome(t)
}

func TestStaticPeerRegistersAgain(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	registrations := make(chan wire.Registration, 4)
	relay.HandleRegister(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reg, err := wire.DecodeRegistration(body)
		if err != nil || r.Header.Get("Authorization") != "Bearer of-the-function" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		registrations <- reg
		_ = json.NewEncoder(w).Encode(relaytest.Invocation(5, relay))
	})
	app := newApp(t, func(http.ResponseWriter, *http.Request) {})
	p := start(t, map[string]string{
		"PORT": portOf(app), "LAMBDA_DISPATCH_PEER_RELAY": "http://" + relay.Wire().Address,
		"LAMBDA_DISPATCH_PEER_FUNCTION": "web", "LAMBDA_DISPATCH_PEER_TOKEN": "of-the-function",
	})
	var environments [2]string
	for n := range 2 {
		reg := <-registrations
		require.Equal(t, "web", reg.Function)
		environments[n] = reg.Environment
		control, _ := relay.Welcome(t)
		control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonRotation})
		control.Await(t, wire.KindGoodbye)
	}
	require.Equal(t, environments[0], environments[1])
	p.cancel(nil)
	require.NoError(t, p.end(t))
}

func TestWrapperEndsWithItsApp(t *testing.T) {
	leaks(t)
	require.NoError(t, start(t, nil, "--", "true").end(t))
	var exit *exitError
	require.ErrorAs(t, start(t, nil, "--", "sh", "-c", "exit 7").end(t), &exit)
	require.Equal(t, 7, exit.code)
	require.ErrorAs(t, start(t, nil, "--", "sh", "-c", "kill -9 $$").end(t), &exit)
	require.Equal(t, 128+9, exit.code)
	require.ErrorContains(t, start(t, nil, "--", "/no/such/command").end(t), "start the app")
}

func TestWrappedAppsEndIsReported(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	app := newApp(t, func(http.ResponseWriter, *http.Request) {}) // answers in place of the wrapped process
	marker := t.TempDir() + "/end"
	p := start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)},
		"--", "sh", "-c", "while [ ! -e "+marker+" ]; do sleep 0.01; done; exit 5")
	api.Invoke("one", payload(t, 5, relay), time.Now().Add(time.Minute))
	relay.Welcome(t)
	_, err := relay.Client(t, true).Get("http://app/")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(marker, nil, 0o600))
	report := reportOf(t, api.Answer(t))
	require.Equal(t, wire.ReasonAppExited, report.Reason)
	require.Equal(t, "exit status 5", report.Detail)
	var exit *exitError
	require.ErrorAs(t, p.end(t), &exit)
	require.Equal(t, 5, exit.code)
	require.Equal(t, "lambdapeer-runtime", <-api.Registered, "a wrapper is the runtime, and asks for SIGTERM")
	require.Empty(t, api.Registered)
}

func TestWrapperStopsItsApp(t *testing.T) {
	leaks(t)
	p := start(t, nil, "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done")
	p.cancel(&instance.Stop{Reason: wire.ReasonShutdown})
	err := p.end(t)
	var exit *exitError
	if err != nil { // the signal may come before the trap
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 128+15, exit.code)
	}
}

func TestHelpVersionAndMistakes(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"lambdapeer", "--help"}, nil, &out, io.Discard))
	require.Contains(t, out.String(), "lambdapeer -- COMMAND")
	for _, name := range []string{
		portVar, protocolVar, pathVar, timeoutVar, asyncVar, levelVar, lifecycle.EventPathVar, lifecycle.BasePathVar,
		lifecycle.DropStageVar, lifecycle.EventContextVar, lifecycle.InvokeModeVar,
	} {
		require.Contains(t, out.String(), name)
	}
	out.Reset()
	for _, name := range []string{"--version", "version"} {
		require.NoError(t, run(t.Context(), []string{"lambdapeer", name}, nil, &out, io.Discard))
		require.Equal(t, version()+"\n", out.String())
		require.Contains(t, out.String(), "protocol version 1")
		out.Reset()
	}

	tests := []struct {
		want string
		args []string
		env  map[string]string
	}{
		{"nothing to do", nil, nil},
		{`unknown argument "serve"`, []string{"serve"}, nil},
		{"no command after --", []string{"--"}, nil},
		{`LAMBDA_DISPATCH_PEER_PORT: "70000" is not a port`, nil, map[string]string{portVar: "70000"}},
		{`PORT: "x" is not a port`, nil, map[string]string{"PORT": "x"}},
		{`LAMBDA_DISPATCH_PEER_PROTOCOL: "spdy" is not one of h2c, http1`, nil, map[string]string{protocolVar: "spdy"}},
		{`LAMBDA_DISPATCH_PEER_ASYNC_INIT: "yes" is not one of false, true`, nil, map[string]string{asyncVar: "yes"}},
		{`LAMBDA_DISPATCH_PEER_READINESS_TIMEOUT: "-1s"`, nil, map[string]string{timeoutVar: "-1s"}},
		{`LAMBDA_DISPATCH_PEER_READINESS_PROTOCOL: "udp" is not one of http, tcp`, nil, map[string]string{probeVar: "udp"}},
		{`LAMBDA_DISPATCH_PEER_READINESS_PATH: "up" does not begin`, nil, map[string]string{pathVar: "up"}},
		{`LAMBDA_DISPATCH_PEER_EVENT_PATH: "jobs" does not begin`, nil, map[string]string{lifecycle.EventPathVar: "jobs"}},
		{`LAMBDA_DISPATCH_PEER_BASE_PATH: "v1" does not begin`, nil, map[string]string{lifecycle.BasePathVar: "v1"}},
		{`LAMBDA_DISPATCH_PEER_DROP_STAGE: "yes" is not one of false, true`, nil, map[string]string{lifecycle.DropStageVar: "yes"}},
		{`LAMBDA_DISPATCH_PEER_EVENT_CONTEXT: "1" is not one of false, true`, nil, map[string]string{lifecycle.EventContextVar: "1"}},
		{
			`LAMBDA_DISPATCH_PEER_INVOKE_MODE: "RESPONSE_STREAM" is not one of buffered, response_stream`, nil,
			map[string]string{lifecycle.InvokeModeVar: "RESPONSE_STREAM"},
		},
		{`LAMBDA_DISPATCH_PEER_LOG_LEVEL: "loud" is not one of`, nil, map[string]string{levelVar: "loud"}},
		{`LAMBDA_DISPATCH_PEER_RELAY: "relay:1" is not http`, nil, map[string]string{"LAMBDA_DISPATCH_PEER_RELAY": "relay:1"}},
		{`LAMBDA_DISPATCH_PEER_FUNCTION: required`, nil, map[string]string{"LAMBDA_DISPATCH_PEER_RELAY": "http://r:1"}},
		{`LAMBDA_DISPATCH_PEER_TOKEN: required`, nil, map[string]string{"LAMBDA_DISPATCH_PEER_RELAY": "http://r:1"}},
		{`LAMBDA_DISPATCH_PEER_CA_FILE: open /none`, nil, map[string]string{"LAMBDA_DISPATCH_PEER_RELAY": "http://r:1", "LAMBDA_DISPATCH_PEER_CA_FILE": "/none"}},
	}
	for _, tt := range tests {
		err := run(t.Context(), append([]string{"lambdapeer"}, tt.args...), environOf(tt.env), io.Discard, io.Discard)
		require.ErrorContains(t, err, tt.want)
		require.Equal(t, tt.env == nil, errors.As(err, new(usageError)), "exit status 2: %v", err)
	}
}
