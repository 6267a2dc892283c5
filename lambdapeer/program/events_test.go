package program

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// event is a request through a function URL.
func event(method, path string) string {
	return fmt.Sprintf(`{"version":"2.0","rawPath":%q,"rawQueryString":"a=1&a=2","headers":{"host":"web.example.com","x-test":"1"},
		"requestContext":{"http":{"method":%q,"sourceIp":"203.0.113.7"}},"body":"aGVsbG8=","isBase64Encoded":true}`, path, method)
}

// The same image must work without Lambda Dispatch, as an extension and as a wrapper, before and after an instance.
func TestEventsOfOthersReachTheApp(t *testing.T) {
	for name, args := range map[string][]string{"extension": nil, "wrapper": {"--", "sleep", "60"}} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			api, relay := runtimetest.Start(t), relaytest.Start(t)
			app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header()["Content-Type"] = []string{"text/plain"}
				w.Header()["Date"] = nil
				w.WriteHeader(http.StatusAccepted)
				fmt.Fprintf(w, "%s %s %s %s %s %s %s", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Forwarded-For"),
					r.Header.Get("X-Request-Id"), r.Header.Get("X-Amzn-Trace-Id"), body)
			})
			start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)}, args...)
			for n := range 2 {
				id := fmt.Sprint("request-", n)
				api.Invoke(id, event("PUT", "/a%2Fb"), time.Now().Add(time.Minute))
				answer := api.Answer(t)
				require.False(t, answer.Error, answer.Body)
				require.JSONEq(t, fmt.Sprintf(`{"statusCode":202,"headers":{"Content-Type":"text/plain"},"isBase64Encoded":false,
					"body":"PUT /a%%2Fb?a=1&a=2 web.example.com 203.0.113.7 %s Root=1-0-%s hello"}`, id, id), answer.Body)

				api.Invoke("ours", payload(t, 5, relay), time.Now().Add(time.Minute))
				control, hello := relay.Welcome(t)
				require.False(t, hello.Cold, "the environment has answered an event")
				control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
				require.Equal(t, wire.ReasonScaleIn, reportOf(t, api.Answer(t)).Reason)
			}
		})
	}
}

func TestOtherEventsArePostedToTheirPath(t *testing.T) {
	leaks(t)
	api := runtimetest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Method != http.MethodPost:
		case r.URL.Path != "/jobs" || r.Header.Get("Content-Type") != "application/json":
			http.NotFound(w, r)
		case strings.Contains(string(body), "fail"):
			http.Error(w, "no such job", http.StatusUnprocessableEntity)
		default:
			_, _ = w.Write(body)
		}
	})
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), lifecycle.EventPathVar: "/jobs"})
	api.Invoke("console", `{"key1":"value1"}`, time.Now().Add(time.Minute))
	require.Equal(t, runtimetest.Answer{ID: "console", Body: `{"key1":"value1"}`}, api.Answer(t))
	api.Invoke("failing", `"fail"`, time.Now().Add(time.Minute))
	require.Equal(t, runtimetest.Answer{ID: "failing", Error: true, Body: `{"errorType":"LambdaDispatch.Status422",` +
		`"errorMessage":"the app answered the event with 422 Unprocessable Entity: no such job"}`}, api.Answer(t))
}

func TestAnEventWaitsForTheAppAndFailsWithout(t *testing.T) {
	leaks(t)
	api := runtimetest.Start(t)
	looks := 0
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		if looks++; looks < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)})
	api.Invoke("slow", `{}`, time.Now().Add(time.Minute))
	require.Equal(t, runtimetest.Answer{ID: "slow", Body: "null\n"}, api.Answer(t))

	never := newApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	other := runtimetest.Start(t)
	start(t, map[string]string{apiVar: other.Address(), portVar: portOf(never), timeoutVar: "1s"})
	other.Invoke("never", event("GET", "/"), time.Now().Add(time.Minute))
	answer := other.Answer(t)
	require.True(t, answer.Error)
	require.Equal(t, `{"errorType":"LambdaDispatch.AppUnhealthy","errorMessage":"not ready within 1s: GET `+never.URL+`/ answered 503"}`, answer.Body)
}

// What is cut must not look whole, whoever cuts it.
func TestAnEventThatIsNotAnsweredWholeFails(t *testing.T) {
	leaks(t)
	api := runtimetest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server looks for a client that has left only after that
		switch r.URL.Path {
		case "/cut":
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/hang":
			<-r.Context().Done() // the deadline's end reaches the app
		case "/large":
			_, _ = w.Write(make([]byte, 6<<20))
		}
	})
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)})
	for path, want := range map[string]string{
		"/cut": "LambdaDispatch.AnswerCutShort", "/hang": "LambdaDispatch.NoAnswer", "/large": "Function.ResponseSizeTooLarge",
	} {
		deadline := time.Now().Add(time.Minute)
		if path == "/hang" {
			deadline = time.Now().Add(100 * time.Millisecond)
		}
		api.Invoke("x", event("GET", path), deadline)
		answer := api.Answer(t)
		require.True(t, answer.Error)
		require.Contains(t, answer.Body, `"errorType":"`+want+`"`, path)
	}
	api.Invoke("next", event("HEAD", "/"), time.Now().Add(time.Minute))
	require.False(t, api.Answer(t).Error)
}

func TestADyingWrappedAppFailsItsEvent(t *testing.T) {
	leaks(t)
	api := runtimetest.Start(t)
	entered := make(chan struct{})
	app := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/hang" {
			close(entered)
			<-r.Context().Done()
		}
	})
	marker := t.TempDir() + "/end"
	p := start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)},
		"--", "sh", "-c", "while [ ! -e "+marker+" ]; do sleep 0.01; done; exit 5")
	api.Invoke("x", event("GET", "/hang"), time.Now().Add(time.Minute))
	<-entered
	require.NoError(t, os.WriteFile(marker, nil, 0o600))
	answer := api.Answer(t)
	require.True(t, answer.Error)
	require.Contains(t, answer.Body, `"errorType":"LambdaDispatch.NoAnswer"`)
	var exit *exitError
	require.ErrorAs(t, p.end(t), &exit)
	require.Equal(t, 5, exit.code)
}

// Lambda answers for a function whose time is over, and ends its environment: who asked would not learn what went wrong, and
// the next one would meet a cold start.
func TestWhateverHangsTheSenderHearsOfItBeforeTheDeadline(t *testing.T) {
	leaks(t)
	ends := make(chan struct{})
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/never":
			<-ends // ignores its context
		case "/half":
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-ends
		case "/drip":
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	t.Cleanup(func() { close(ends) })
	for name, tt := range map[string]struct{ path, want string }{
		"no answer":         {"/never", "NoAnswer"},
		"half an answer":    {"/half", "AnswerCutShort"},
		"an endless answer": {"/drip", "AnswerCutShort"},
		"to the test event": {"", "NoAnswer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			api := runtimetest.Start(t)
			start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), lifecycle.EventPathVar: "/never"})
			payload := event("GET", tt.path)
			if tt.path == "" {
				payload = `{"key1":"value1"}`
			}
			<-api.Asked
			deadline := time.Now().Add(3 * time.Second)
			api.Invoke("x", payload, deadline)
			answer := api.Answer(t)
			require.True(t, time.Now().Before(deadline), "too late")
			require.True(t, answer.Error, answer.Body)
			require.Contains(t, answer.Body, `"errorType":"LambdaDispatch.`+tt.want)
			require.Contains(t, answer.Body, "the invocation's deadline is near")
		})
	}
}

// What the app sees of an event's path, and what it learns of the event and the invocation, is the function's to decide.
func TestAnEventsPathAndContext(t *testing.T) {
	leaks(t)
	api := runtimetest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		forged := r.Header.Get("X_amzn_request_context") + r.Header.Get("X-Amzn_lambda_context")
		fmt.Fprintf(w, "%s|%s|%s|%s", r.URL.Path, r.Header.Get("X-Amzn-Request-Context"), r.Header.Get("X-Amzn-Lambda-Context"), forged)
	})
	start(t, map[string]string{
		apiVar: api.Address(), portVar: portOf(app),
		lifecycle.BasePathVar: "/v1/", lifecycle.DropStageVar: "true", lifecycle.EventContextVar: "true",
	})
	deadline := time.Now().Add(time.Minute)
	for path, want := range map[string]string{
		"/prod/v1/a": "/a", "/v1/a": "/a", "/prod/v1": "/", "/prod/v10/a": "/v10/a", "/product": "/product", "/a/v1": "/a/v1", "/prod": "/",
	} {
		api.Invoke("r", fmt.Sprintf(`{"version":"2.0","rawPath":%q,
			"headers":{"x-amzn-request-context":"forged","X_Amzn_Request_Context":"forged","x-amzn_lambda_context":"forged"},
			"requestContext":{"stage":"prod","authorizer":{"name":"Zoë 🎈"},"http":{"method":"GET"}}}`, path), deadline)
		var answer struct{ Body string }
		require.NoError(t, json.Unmarshal([]byte(api.Answer(t).Body), &answer))
		parts := strings.Split(answer.Body, "|")
		require.Equal(t, want, parts[0], path)
		require.Equal(t, `{"stage":"prod","authorizer":{"name":"Zo\u00eb \ud83c\udf88"},"http":{"method":"GET"}}`, parts[1])
		require.JSONEq(t, fmt.Sprintf(`{"request_id":"r","invoked_function_arn":"%s:live","xray_trace_id":"Root=1-0-r","deadline":%d}`,
			runtimetest.ARN, deadline.UnixMilli()), parts[2])
		require.Empty(t, parts[3], "servers that make CGI variables of headers would not tell them apart")
	}
}

// An answer goes out as the app writes it, behind its status and headers; one that breaks off ends with its error, and does not
// take the environment with it.
func TestAnswersAreStreamed(t *testing.T) {
	leaks(t)
	goOn := make(chan struct{})
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return // is it ready?
		}
		w.Header()["Date"], w.Header()["Content-Type"] = nil, []string{"text/event-stream"}
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-goOn
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(make([]byte, 7<<20)) // more than a buffered answer may have
	})
	prelude := `{"statusCode":202,"headers":{"Content-Type":"text/event-stream"},"cookies":["a=1","b=2"]}` + strings.Repeat("\x00", 8)
	for path, failure := range map[string]string{"/whole": "", "/cut": "LambdaDispatch.AnswerCutShort"} {
		api := runtimetest.Start(t)
		start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), lifecycle.InvokeModeVar: "response_stream"})
		api.Invoke("x", event("GET", path), time.Now().Add(time.Minute))
		begun := ""
		for begun != prelude+"first" {
			begun += <-api.Pieces // before the app has finished
		}
		goOn <- struct{}{}
		answer := api.Answer(t)
		require.True(t, answer.Stream)
		require.Equal(t, failure, answer.Failure)
		if failure == "" {
			require.Len(t, answer.Body, len(prelude)+len("first")+7<<20)
		}
		api.Invoke("job", `{"key1":"value1"}`, time.Now().Add(time.Minute))
		goOn <- struct{}{}
		require.False(t, api.Answer(t).Stream, "no sender of an HTTP request")
	}
}
