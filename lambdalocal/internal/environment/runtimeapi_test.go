package environment

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const idPath = invocationPath + "id-1/"

func TestTheNextInvocationHasAllHeaders(t *testing.T) {
	s, first := ready(t, nil)
	began := time.Now()
	result := s.invoke(Invocation{
		ARN: "arn:aws:lambda:us-east-1:1:function:web", TraceID: "Root=1-2-3", ClientContext: `{"a":1}`,
		CognitoIdentity: `{"cognitoIdentityId":"x","cognitoIdentityPoolId":"y"}`, Payload: []byte(`{"b":2}`),
	})
	r := <-first
	require.Equal(t, http.StatusOK, r.code)
	require.Equal(t, `{"b":2}`, r.body)
	for name, want := range map[string]string{
		"Content-Type":                        "application/json",
		"Lambda-Runtime-Aws-Request-Id":       "id-1",
		"Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:1:function:web",
		"Lambda-Runtime-Trace-Id":             "Root=1-2-3",
		"Lambda-Runtime-Client-Context":       `{"a":1}`,
		"Lambda-Runtime-Cognito-Identity":     `{"cognitoIdentityId":"x","cognitoIdentityPoolId":"y"}`,
	} {
		require.Equal(t, want, r.header.Get(name), name)
	}
	deadline, err := strconv.ParseInt(r.header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, deadline, began.Add(soon).UnixMilli())
	require.LessOrEqual(t, deadline, time.Now().Add(soon).UnixMilli())

	again := s.call("GET", nextPath, nil, "")
	require.Equal(t, r.body, again.body, "a runtime that asks again before it has answered gets the same")
	require.Equal(t, "id-1", again.header.Get("Lambda-Runtime-Aws-Request-Id"))

	accepted := s.call("POST", idPath+"response", nil, `"done"`)
	require.Equal(t, http.StatusAccepted, accepted.code)
	require.JSONEq(t, `{"status":"OK"}`, accepted.body)
	s.next()
	require.Equal(t, `"done"`, string((<-result).Payload))
}

// upload is a response that has begun and not ended.
type upload struct {
	*io.PipeWriter
	reply chan reply
	err   chan error
}

func (s *stage) upload(header, trailer http.Header) *upload {
	body, in := io.Pipe()
	u := &upload{PipeWriter: in, reply: make(chan reply, 1), err: make(chan error, 1)}
	s.t.Cleanup(func() { _ = in.Close() })
	request, err := http.NewRequestWithContext(context.Background(), "POST", "http://"+s.current().addr+idPath+"response", body)
	require.NoError(s.t, err)
	request.Header, request.Trailer = header.Clone(), trailer
	if request.Header == nil {
		request.Header = http.Header{}
	}
	go func() {
		response, err := s.http.Do(request)
		if err != nil {
			u.err <- err
			return
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		u.reply <- reply{response.StatusCode, response.Header, string(text)}
	}()
	return u
}

var streamingHeader = http.Header{"Lambda-Runtime-Function-Response-Mode": {"streaming"}}

func TestAStreamReachesTheCallerChunkByChunk(t *testing.T) {
	chunks := make(chan string)
	s, result := running(t, Invocation{Stream: func(chunk []byte) error { chunks <- string(chunk); return nil }}, nil)
	u := s.upload(streamingHeader, nil)
	for _, text := range []string{"one", "two", "three"} {
		_, err := io.WriteString(u, text)
		require.NoError(t, err)
		require.Equal(t, text, <-chunks, "before the next is written")
	}
	require.NoError(t, u.Close())
	require.Equal(t, http.StatusAccepted, (<-u.reply).code)
	s.next()
	r := <-result
	require.Equal(t, Succeeded, r.Outcome)
	require.Empty(t, r.Payload, "all of it went through Stream")
}

func TestAStreamIsBufferedForACallerWhoDoesNotStream(t *testing.T) {
	s, result := running(t, Invocation{}, nil)
	u := s.upload(streamingHeader, nil)
	_, err := io.WriteString(u, "one")
	require.NoError(t, err)
	_, err = io.WriteString(u, "two")
	require.NoError(t, err)
	require.NoError(t, u.Close())
	<-u.reply
	s.next()
	require.Equal(t, "onetwo", string((<-result).Payload))
}

func TestACallerWhoLeavesAStreamDoesNotDisturbTheFunction(t *testing.T) {
	calls := 0
	s, result := running(t, Invocation{Stream: func([]byte) error { calls++; return errors.New("gone") }}, nil)
	u := s.upload(streamingHeader, nil)
	for range 3 {
		_, err := io.WriteString(u, "chunk")
		require.NoError(t, err)
	}
	require.NoError(t, u.Close())
	require.Equal(t, http.StatusAccepted, (<-u.reply).code)
	s.next()
	require.Equal(t, Succeeded, (<-result).Outcome)
	require.Equal(t, 1, calls)
}

func TestAStreamMayEndInAnError(t *testing.T) {
	for name, stream := range map[string]func([]byte) error{"streamed": func([]byte) error { return nil }, "buffered": nil} {
		t.Run(name, func(t *testing.T) {
			s, result := running(t, Invocation{Stream: stream}, nil)
			trailer := http.Header{"Lambda-Runtime-Function-Error-Type": nil, "Lambda-Runtime-Function-Error-Body": nil}
			u := s.upload(streamingHeader, trailer)
			_, err := io.WriteString(u, "half")
			require.NoError(t, err)
			trailer.Set("Lambda-Runtime-Function-Error-Type", "Function.Broke")
			trailer.Set("Lambda-Runtime-Function-Error-Body", base64.StdEncoding.EncodeToString([]byte(`{"errorType":"Broke"}`)))
			require.NoError(t, u.Close())
			require.Equal(t, http.StatusAccepted, (<-u.reply).code)
			s.next()
			r := <-result
			require.Equal(t, Errored, r.Outcome)
			require.Equal(t, "Function.Broke", r.ErrorType)
			require.JSONEq(t, `{"errorType":"Broke"}`, string(r.Payload))
		})
	}
}

func TestNoChunkReachesTheCallerAfterTheTimeout(t *testing.T) {
	var over bool // the race detector sees a call after the end
	s, result := running(t, Invocation{Stream: func([]byte) error { over = true; return nil }}, func(c *Config) { c.Timeout = 100 * time.Millisecond })
	u := s.upload(streamingHeader, nil)
	_, err := io.WriteString(u, "chunk")
	require.NoError(t, err)
	require.Equal(t, TimedOut, (<-result).Outcome)
	over = true
	go func() { _, _ = io.WriteString(u, "late") }()
	s.Shutdown(Timeout)
	require.True(t, over)
}

func TestAnAnswerThatBreaksOffIsAnError(t *testing.T) {
	s, result := running(t, Invocation{}, nil)
	conn, err := net.Dial("tcp", s.current().addr)
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST "+idPath+"response HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	text, _ := io.ReadAll(response.Body)
	require.NoError(t, conn.Close())
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Contains(t, string(text), "TruncatedHTTPRequest")
	s.next()
	r := <-result
	require.Equal(t, "Runtime.TruncatedResponse", r.ErrorType)
	require.True(t, s.Alive())
}

func TestLargeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		size int
		code int
	}{
		"response at the limit":    {"response", maxAnswer, http.StatusAccepted},
		"response above the limit": {"response", maxAnswer + 1, http.StatusRequestEntityTooLarge},
		"error above the limit":    {"error", maxAnswer + 1, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			s, result := running(t, Invocation{}, nil)
			r := s.call("POST", idPath+c.path, nil, strings.Repeat("x", c.size))
			require.Equal(t, c.code, r.code)
			s.next()
			end := <-result
			if c.code == http.StatusAccepted {
				require.Equal(t, Succeeded, end.Outcome)
				require.Len(t, end.Payload, c.size)
				return
			}
			require.Equal(t, errorBody{"RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes)."}, r.errorBody(t))
			require.Equal(t, "Function.ResponseSizeTooLarge", end.ErrorType)
			require.JSONEq(t, `{"errorType":"Function.ResponseSizeTooLarge",
				"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}`, string(end.Payload))
		})
	}
}

// Misuse of the Runtime API, by the state in which it happens.
func TestMisuseOfTheRuntimeAPI(t *testing.T) {
	started := func(t *testing.T) *stage { s := newStage(t, nil); s.begin(); return s }
	waiting := func(t *testing.T) *stage { s, _ := ready(t, nil); return s }
	busy := func(t *testing.T) *stage { s, _ := running(t, Invocation{}, nil); return s }
	responding := func(t *testing.T) *stage {
		s, _ := running(t, Invocation{}, nil)
		_, err := io.WriteString(s.upload(streamingHeader, nil), "chunk")
		require.NoError(t, err)
		s.eventuallyBoot("response", func(b *boot) bool { return b.runtime == runtimeResponding })
		return s
	}
	answered := func(t *testing.T) *stage {
		s, _ := running(t, Invocation{}, nil)
		require.Equal(t, http.StatusAccepted, s.call("POST", idPath+"response", nil, "{}").code)
		return s
	}
	transition := func(from, to string) errorBody {
		return errorBody{"InvalidStateTransition", "State transition from " + from + " to " + to + " failed for runtime. Error: State transition is not allowed"}
	}
	unknown := errorBody{"InvalidRequestID", "Invalid request ID"}
	wrongMode := http.Header{"Lambda-Runtime-Function-Response-Mode": {"fast"}}
	for name, c := range map[string]struct {
		given        func(*testing.T) *stage
		method, path string
		header       http.Header
		code         int
		want         errorBody
	}{
		"response during init":       {started, "POST", idPath + "response", nil, 400, unknown},
		"response without an invoke": {waiting, "POST", idPath + "response", nil, 400, unknown},
		"error without an invoke":    {waiting, "POST", idPath + "error", nil, 400, unknown},
		"init error when ready":      {waiting, "POST", initErrorPath, nil, 403, transition("Ready", "InitError")},
		"response for another id":    {busy, "POST", invocationPath + "id-2/response", nil, 400, unknown},
		"error for another id":       {busy, "POST", invocationPath + "id-2/error", nil, 400, unknown},
		"init error when running":    {busy, "POST", initErrorPath, nil, 403, transition("Running", "InitError")},
		"unknown response mode":      {busy, "POST", idPath + "response", wrongMode, 400, errorBody{"InvalidFunctionResponseMode", "Invalid function response mode"}},
		"next during a response":     {responding, "GET", nextPath, nil, 403, transition("InvocationResponse", "Ready")},
		"response during a response": {responding, "POST", idPath + "response", nil, 403, transition("InvocationResponse", "InvocationResponse")},
		"error during a response":    {responding, "POST", idPath + "error", nil, 403, transition("InvocationResponse", "InvocationErrorResponse")},
		"response twice":             {answered, "POST", idPath + "response", nil, 403, transition("RuntimeResponseSentState", "InvocationResponse")},
		"error after a response":     {answered, "POST", idPath + "error", nil, 403, transition("RuntimeResponseSentState", "InvocationErrorResponse")},
		"init error after a response": {
			answered, "POST", initErrorPath, nil, 403, transition("RuntimeResponseSentState", "InitError"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.given(t)
			r := s.call(c.method, c.path, c.header, "{}")
			require.Equal(t, c.code, r.code)
			require.Equal(t, "application/json", r.header.Get("Content-Type"))
			require.Equal(t, c.want, r.errorBody(t))
			require.True(t, s.current().failure() == nil, "misuse is refused and harms nothing")
		})
	}
}

func TestWrongPathsAndMethods(t *testing.T) {
	s, _ := ready(t, nil)
	require.Equal(t, "pong", s.call("GET", "/2018-06-01/ping", nil, "").body)
	require.Equal(t, http.StatusNotFound, s.call("GET", "/2018-06-01/nothing", nil, "").code)
	require.Equal(t, http.StatusMethodNotAllowed, s.call("POST", nextPath, nil, "").code)
	logs := s.call("PUT", "/2020-08-15/logs", nil, "{}")
	require.Equal(t, http.StatusForbidden, logs.code)
	require.Equal(t, "Extension.MissingExtensionIdentifier", logs.errorBody(t).Type)
}

func TestAnInitErrorIsTheAnswerOfTheSecondInit(t *testing.T) {
	s := newStage(t, nil)
	initialized := s.begin()
	fail := func() {
		r := s.call("POST", initErrorPath, http.Header{"Lambda-Runtime-Function-Error-Type": {"Runtime.NoHandler"}}, `{"errorType":"X"}`)
		require.Equal(t, http.StatusAccepted, r.code)
	}
	fail()
	<-initialized
	require.Contains(t, s.log.text(), "Phase: init\tStatus: error\tError Type: Runtime.NoHandler")
	result := s.invoke(Invocation{})
	s.eventually("processes", func() bool { return len(s.PIDs()) > 0 })
	fail()
	r := <-result
	require.Equal(t, InitFailed, r.Outcome)
	require.Equal(t, `{"errorType":"X"}`, string(r.Payload))
	require.Zero(t, r.Init)
}

func TestErrorTypesInReports(t *testing.T) {
	for word, want := range map[string]string{
		"": "Runtime.Unknown", "Runtime.ImportModuleError": "Runtime.ImportModuleError", "ValueError": "Runtime.Unknown",
		"Function.Mine": "Function.Mine", "Function.mine": "Function.Unknown",
	} {
		require.Equal(t, want, functionErrorType(word), word)
	}
}
