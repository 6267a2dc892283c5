package lambdalocal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

const soon = 20 * time.Second // deadline of everything that is waited for

func quiet() logrus.FieldLogger { return logTo(io.Discard) }

func logTo(w io.Writer) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(w)
	return log
}

// A machine is a running server with one function, "web", and the real SDK's client.
type machine struct {
	*lambdalocal.Server
	t      testing.TB
	client *lambda.Client
	record string // the file that helpers append to
	mark   string // in the variables of every process of this machine
	stop   func()
	log    bytes.Buffer // complete after stop
}

func run(t testing.TB, command string, change func(*lambdalocal.Function)) *machine {
	t.Helper()
	return runWith(t, command, func(_ *lambdalocal.Config, f *lambdalocal.Function) {
		if change != nil {
			change(f)
		}
	})
}

// runWith lets the test change everything.
func runWith(t testing.TB, command string, change func(*lambdalocal.Config, *lambdalocal.Function)) *machine {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	m := &machine{t: t, record: filepath.Join(t.TempDir(), "record"), mark: t.Name() + strconv.FormatInt(time.Now().UnixNano(), 36)}
	f := lambdalocal.DefaultFunction("web")
	f.Command = []string{self, command}
	f.Timeout = soon
	f.Env = map[string]string{marker: m.mark, "RECORD": m.record}
	cfg := lambdalocal.Default()
	cfg.Address = "127.0.0.1:0"
	change(&cfg, &f)
	cfg.Functions = []lambdalocal.Function{f}
	m.Server, err = lambdalocal.New(cfg, logTo(&m.log))
	require.NoError(t, err)
	m.start()
	return m
}

// start runs the server; stop ends it and checks that nothing stays behind.
func (m *machine) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	m.client = clientOf(m.t, m.InvokeURL())
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(m.t, <-ended)
		require.Empty(m.t, m.Environments())
		require.Empty(m.t, processes(m.t, m.mark), "processes left behind")
	}
	m.t.Cleanup(m.stop)
}

// clientOf is the SDK's own client, without retries.
func clientOf(t testing.TB, url string) *lambda.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return lambda.New(lambda.Options{
		BaseEndpoint: aws.String(url), Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "y"}, nil
		}),
		HTTPClient: &http.Client{Transport: transport},
	})
}

// processes finds all that carry the mark in their variables.
func processes(t testing.TB, mark string) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, file := range files {
		if vars, err := os.ReadFile(file); err == nil && strings.Contains(string(vars), marker+"="+mark+"\x00") {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func payload(o order) []byte {
	text, _ := json.Marshal(o)
	return text
}

func (m *machine) try(o order) (*lambda.InvokeOutput, error) {
	return m.client.Invoke(context.Background(), &lambda.InvokeInput{
		FunctionName: aws.String("web"), Payload: payload(o), LogType: types.LogTypeTail,
	})
}

func (m *machine) invoke(o order) *lambda.InvokeOutput {
	m.t.Helper()
	out, err := m.try(o)
	require.NoError(m.t, err)
	return out
}

func (m *machine) eventually(what string, condition func() bool) {
	m.t.Helper()
	require.Eventually(m.t, condition, soon, 5*time.Millisecond, what)
}

func (m *machine) recorded() string {
	text, _ := os.ReadFile(m.record)
	return string(text)
}

func logOf(t testing.TB, out *lambda.InvokeOutput) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	require.NoError(t, err)
	return string(text)
}

func TestAnInvocationIsAnsweredByTheRuntime(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	out := m.invoke(order{Do: "echo", Text: "hello"})
	require.Nil(t, out.FunctionError)
	require.EqualValues(t, http.StatusOK, out.StatusCode)
	require.JSONEq(t, `{"do":"echo","text":"hello"}`, string(out.Payload))
	require.Equal(t, "$LATEST", aws.ToString(out.ExecutedVersion))

	log := logOf(t, out)
	require.Regexp(t, `(?m)^START RequestId: [0-9a-f-]{36} Version: \$LATEST$`, log)
	require.Regexp(t, `(?m)^END RequestId: [0-9a-f-]{36}$`, log)
	require.Regexp(t, `(?m)^REPORT RequestId: [0-9a-f-]{36}\tDuration: [0-9.]+ ms\tBilled Duration: [0-9]+ ms\tMemory Size: 128 MB\tMax Memory Used: [1-9][0-9]* MB\tInit Duration: [0-9.]+ ms$`, log)
	require.NotContains(t, logOf(t, m.invoke(order{})), "Init Duration", "only the first is cold")
}

func TestEnvironmentsAreReusedFrozenAndThawed(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	for range 3 {
		m.invoke(order{})
		require.Len(t, m.Environments(), 1)
		env := m.Environments()[0]
		require.Equal(t, lambdalocal.StateFrozen, env.State)
		m.eventually("stopped by SIGSTOP", func() bool { return processState(t, env.PIDs[0]) == "T" })
	}
	require.Equal(t, 3, m.Environments()[0].Served)
	c := m.Counters("web")
	require.Equal(t, []int{1, 2, 3, 3, 0}, []int{c.Cold, c.Warm, c.Started, c.Ended, c.Errors})
}

func processState(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(stat), ") ")
	return after[:1]
}

func TestOutputIsInTheTail(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	m.eventually("the line", func() bool { // it may come a moment after the answer, in the next tail
		return strings.Contains(logOf(t, m.invoke(order{Do: "print", Text: "from the app"})), "from the app\n")
	})
}

func TestVariablesAndHeadersAreLambdas(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		f.Handler, f.Env["OWN"], f.Env["URL"] = "app.handler", "yes", "http://127.0.0.1:{port}/"
		f.Versions = []lambdalocal.Version{{Name: "7"}}
	})
	var vars map[string]string
	require.NoError(t, json.Unmarshal(m.invoke(order{Do: "environ"}).Payload, &vars))
	require.Equal(t, "web", vars["AWS_LAMBDA_FUNCTION_NAME"])
	require.Equal(t, "$LATEST", vars["AWS_LAMBDA_FUNCTION_VERSION"])
	require.Equal(t, "128", vars["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
	require.Equal(t, "us-east-1", vars["AWS_REGION"])
	require.Equal(t, "app.handler", vars["_HANDLER"])
	require.Equal(t, "on-demand", vars["AWS_LAMBDA_INITIALIZATION_TYPE"])
	require.Equal(t, "yes", vars["OWN"])
	require.Equal(t, "http://127.0.0.1:"+vars["PORT"]+"/", vars["URL"])
	require.Contains(t, vars["AWS_LAMBDA_LOG_STREAM_NAME"], "[$LATEST]"+m.Environments()[0].ID)

	out, err := m.client.Invoke(context.Background(), &lambda.InvokeInput{
		FunctionName: aws.String("arn:aws:lambda:us-east-1:000000000000:function:web"), Qualifier: aws.String("7"),
		Payload: payload(order{Do: "headers"}), ClientContext: aws.String(base64.StdEncoding.EncodeToString([]byte(`{"a":1}`))),
	})
	require.NoError(t, err)
	require.Equal(t, "7", aws.ToString(out.ExecutedVersion))
	var h http.Header
	require.NoError(t, json.Unmarshal(out.Payload, &h))
	require.Equal(t, "arn:aws:lambda:us-east-1:000000000000:function:web:7", h.Get("Lambda-Runtime-Invoked-Function-Arn"))
	require.Equal(t, `{"a":1}`, h.Get("Lambda-Runtime-Client-Context"))
	require.Regexp(t, `^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`, h.Get("Lambda-Runtime-Trace-Id"))
	deadline, err := strconv.ParseInt(h.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
	require.NoError(t, err)
	require.Less(t, time.Now().UnixMilli(), deadline)
}

func TestServiceErrorsAreTheSDKsOwn(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.ReservedConcurrency = new(1) })
	ctx := context.Background()

	_, err := m.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("nobody")})
	var notFound *types.ResourceNotFoundException
	require.ErrorAs(t, err, &notFound)
	require.Contains(t, notFound.ErrorMessage(), "arn:aws:lambda:us-east-1:000000000000:function:nobody")

	var invalid *types.InvalidRequestContentException
	for name, in := range map[string]lambda.InvokeInput{
		"half JSON":     {Payload: []byte("{")},
		"no text":       {Payload: []byte("\"\xff\"")},
		"no base64":     {ClientContext: aws.String("{}")},
		"no JSON":       {ClientContext: aws.String("aGVsbG8=")},
		"no object":     {ClientContext: aws.String("WzFd")},
		"large context": {ClientContext: aws.String(base64.StdEncoding.EncodeToString([]byte(`{"a":"` + strings.Repeat("x", 2700) + `"}`)))},
	} {
		in.FunctionName = aws.String("web")
		_, err = m.client.Invoke(ctx, &in)
		require.ErrorAs(t, err, &invalid, name)
	}

	_, err = m.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("web"), Payload: []byte(`"` + strings.Repeat("x", 6<<20) + `"`)})
	var tooLarge *types.RequestTooLargeException
	require.ErrorAs(t, err, &tooLarge)

	for parameter, in := range map[string]lambda.InvokeInput{"invocationType": {InvocationType: "Nonsense"}, "logType": {LogType: "Nonsense"}} {
		in.FunctionName = aws.String("web")
		_, err = m.client.Invoke(ctx, &in)
		require.ErrorContains(t, err, "ValidationException: 1 validation error detected: Value 'Nonsense' at '"+parameter+"'")
	}

	out, err := m.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("web"), InvocationType: types.InvocationTypeDryRun})
	require.NoError(t, err)
	require.EqualValues(t, http.StatusNoContent, out.StatusCode)
	require.Zero(t, m.Counters("web").Started)
}

func TestAboveTheConcurrencyLimitIsThrottled(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.ReservedConcurrency = new(1) })
	ended := make(chan error, 1)
	go func() { _, err := m.try(order{Do: "hang"}); ended <- err }()
	m.eventually("busy", func() bool { return m.Counters("web").Started == 1 })
	_, err := m.try(order{})
	var throttled *types.TooManyRequestsException
	require.ErrorAs(t, err, &throttled)
	require.Equal(t, types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded, throttled.Reason)
	require.Equal(t, "1", aws.ToString(throttled.RetryAfterSeconds))
	require.Equal(t, 1, m.Counters("web").Throttled)

	require.True(t, m.Retire(m.Environments()[0].ID))
	var service *types.ServiceException
	require.ErrorAs(t, <-ended, &service, "shut down under the invocation")
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.Interrupted])
}

func TestACallerThatLeavesDoesNotEndTheInvocation(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	ctx, leave := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := m.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("web"), Payload: payload(order{Do: "sleep", Ms: 300})})
		ended <- err
	}()
	m.eventually("started", func() bool { return m.Counters("web").Started == 1 })
	leave()
	require.Error(t, <-ended)
	m.eventually("ended by itself", func() bool { return m.Counters("web").Outcomes[lambdalocal.Succeeded] == 1 })
}

func TestInspectionOverHTTP(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	m.invoke(order{})
	var environments []lambdalocal.Environment
	get(t, m.InvokeURL()+"/lambdalocal/environments", &environments)
	require.Equal(t, m.Environments(), environments)
	var functions map[string]lambdalocal.Counters
	get(t, m.InvokeURL()+"/lambdalocal/functions", &functions)
	require.Equal(t, m.Counters("web"), functions["web"])
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.NoError(t, json.NewDecoder(response.Body).Decode(into))
}
