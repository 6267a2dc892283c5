// Package conformance_test runs AWS's own runtime clients, unchanged, under lambdalocal: what they expect of Lambda must be
// there.
package conformance_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute // of invocations that should not end by the timeout

// An order is what the functions do.
type order struct {
	Do   string `json:"do,omitempty"`
	Text string `json:"text,omitempty"`
	Size int    `json:"size,omitempty"`
	To   string `json:"to,omitempty"` // URL that gets the text; the Go function only
}

// A machine is lambdalocal with one function, "web".
type machine struct {
	*lambdalocal.Server
	t      *testing.T
	client *lambda.Client
	end    func() // ends it, and returns when all environments have ended
}

// run starts lambdalocal; quick is a short timeout, or zero.
func run(t *testing.T, r runtimeClient, quick time.Duration) *machine {
	f := lambdalocal.DefaultFunction("web")
	f.Command, f.Env, f.Handler = r.command, r.env, "app.handle"
	f.Layers, f.MemoryMB, f.Managed = r.layers, max(r.memoryMB, f.MemoryMB), r.managed
	if f.Timeout = patience; quick > 0 {
		f.Timeout = quick
	}
	cfg := lambdalocal.Default()
	cfg.Address, cfg.Functions = "127.0.0.1:0", []lambdalocal.Function{f}
	log := quiet()
	if r.output != nil {
		log.SetLevel(logrus.DebugLevel)
		log.AddHook(r.output)
	}
	s, err := lambdalocal.New(cfg, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	transport := &http.Transport{}
	end := sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(end)
	return &machine{Server: s, t: t, end: end, client: lambda.New(lambda.Options{
		BaseEndpoint: aws.String(s.InvokeURL()), Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "y"}, nil
		}),
		HTTPClient: &http.Client{Transport: transport},
	})}
}

func quiet() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func (m *machine) invoke(o order, clientContext string) *lambda.InvokeOutput {
	m.t.Helper()
	payload, err := json.Marshal(o)
	require.NoError(m.t, err)
	input := &lambda.InvokeInput{FunctionName: aws.String("web"), Payload: payload, LogType: types.LogTypeTail}
	if clientContext != "" {
		input.ClientContext = aws.String(base64.StdEncoding.EncodeToString([]byte(clientContext)))
	}
	out, err := m.client.Invoke(context.Background(), input)
	require.NoError(m.t, err)
	return out
}

// answer decodes a successful answer.
func (m *machine) answer(o order, clientContext string, into any) {
	m.t.Helper()
	out := m.invoke(o, clientContext)
	require.Nil(m.t, out.FunctionError, string(out.Payload))
	require.NoError(m.t, json.Unmarshal(out.Payload, into))
}

// failure is the answer of an invocation that must fail, and its log.
func (m *machine) failure(o order) (kind, message, log string) {
	m.t.Helper()
	out := m.invoke(o, "")
	require.Equal(m.t, "Unhandled", aws.ToString(out.FunctionError), string(out.Payload))
	var body struct{ ErrorType, ErrorMessage string }
	require.NoError(m.t, json.Unmarshal(out.Payload, &body))
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	require.NoError(m.t, err)
	return body.ErrorType, body.ErrorMessage, string(text)
}

// checks are what every runtime client must pass.
var checks = map[string]func(*testing.T, runtimeClient){
	"success":        checkSuccess,
	"error":          checkError,
	"panic":          checkPanic,
	"crash":          checkCrash,
	"timeout":        checkTimeout,
	"large payloads": checkLargePayloads,
	"what the function learns of its invocation": checkWhatTheFunctionLearnsOfItsInvocation,
	"one invocation at a time per environment":   checkOneInvocationAtATimePerEnvironment,
}

func TestLongRuntimeClients(t *testing.T) { checkAll(t, runtimeClients) }

// Clients that take seconds to start.
func TestLongSlowRuntimeClients(t *testing.T) { checkAll(t, slowRuntimeClients) }

func checkAll(t *testing.T, clients map[string]func(*testing.T) runtimeClient) {
	for name, find := range clients {
		t.Run(name, func(t *testing.T) {
			r := find(t)
			for what, check := range checks {
				t.Run(what, func(t *testing.T) { check(t, r) })
			}
		})
	}
}

func checkSuccess(t *testing.T, r runtimeClient) {
	m := run(t, r, 0)
	for _, text := range []string{"one", "größer", "three"} {
		var got order
		m.answer(order{Text: text}, "", &got)
		require.Equal(t, order{Text: text}, got)
	}
	require.Equal(t, 1, m.Counters("web").Cold)
	require.Equal(t, 2, m.Counters("web").Warm)
}

func checkError(t *testing.T, r runtimeClient) {
	m := run(t, r, 0)
	kind, message, log := m.failure(order{Do: "fail", Text: "no luck"})
	require.Equal(t, r.errorType, kind)
	require.Equal(t, "no luck", message)
	require.NotContains(t, log, "Status:")
	var got order
	m.answer(order{Text: "still here"}, "", &got)
	require.Equal(t, 1, m.Counters("web").Cold, "an error does not end the environment")
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.Errored])
}

func checkPanic(t *testing.T, r runtimeClient) {
	m := run(t, r, 0)
	_, message, _ := m.failure(order{Do: "panic", Text: "no luck"})
	require.Equal(t, "no luck", message)
	var got order
	m.answer(order{Text: "again"}, "", &got)
}

func checkCrash(t *testing.T, r runtimeClient) {
	m := run(t, r, 0)
	kind, message, log := m.failure(order{Do: "exit"})
	require.Equal(t, "Runtime.ExitError", kind)
	require.Regexp(t, `^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 7$`, message)
	require.Contains(t, log, "Status: error\tError Type: Runtime.ExitError")
	var got order
	m.answer(order{Text: "again"}, "", &got)
}

func checkTimeout(t *testing.T, r runtimeClient) {
	m := run(t, r, 2*time.Second)
	kind, message, log := m.failure(order{Do: "hang"})
	require.Equal(t, "Sandbox.Timedout", kind)
	require.Contains(t, message, "Task timed out after 2.00 seconds")
	require.Contains(t, log, "Status: timeout")
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.TimedOut])
}

func checkLargePayloads(t *testing.T, r runtimeClient) {
	m := run(t, r, 0)
	var length int
	m.answer(order{Do: "length", Text: strings.Repeat("x", 5<<20)}, "", &length)
	require.Equal(t, 5<<20, length)
	var text string
	m.answer(order{Do: "large", Size: 5 << 20}, "", &text)
	require.Len(t, text, 5<<20)
	kind, _, _ := m.failure(order{Do: "large", Size: 7 << 20})
	require.Equal(t, "Function.ResponseSizeTooLarge", kind)
	m.answer(order{Do: "length", Text: "again"}, "", &length)
}

func checkWhatTheFunctionLearnsOfItsInvocation(t *testing.T, r runtimeClient) {
	m := run(t, r, 0)
	var got struct {
		RequestID  string            `json:"request_id"`
		ARN        string            `json:"arn"`
		DeadlineMs int64             `json:"deadline_ms"`
		Custom     map[string]string `json:"custom"`
		TraceID    string            `json:"trace_id"`
		Name       string            `json:"name"`
		Memory     int               `json:"memory"`
	}
	before := time.Now()
	m.answer(order{Do: "context"}, `{"client":{"installation_id":"i"},"custom":{"color":"blue"},"env":{"locale":"de"}}`, &got)
	require.Regexp(t, `^[0-9a-f-]{36}$`, got.RequestID)
	require.Equal(t, "arn:aws:lambda:us-east-1:000000000000:function:web", got.ARN)
	require.Equal(t, map[string]string{"color": "blue"}, got.Custom)
	require.Contains(t, got.TraceID, "Root=1-")
	require.Equal(t, "web", got.Name)
	require.Equal(t, 128, got.Memory)
	require.GreaterOrEqual(t, got.DeadlineMs, before.Add(patience).UnixMilli()-1)
	require.LessOrEqual(t, got.DeadlineMs, time.Now().Add(patience).UnixMilli()+1)
}

func checkOneInvocationAtATimePerEnvironment(t *testing.T, r runtimeClient) {
	m := run(t, r, 0)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 3 {
				var got struct{ Busy int }
				m.answer(order{Do: "busy", Size: 20}, "", &got)
				require.Equal(t, 1, got.Busy)
			}
		})
	}
	all.Wait()
	require.Equal(t, 9, m.Counters("web").Ended)
	require.Greater(t, m.Counters("web").Cold, 1)
}
