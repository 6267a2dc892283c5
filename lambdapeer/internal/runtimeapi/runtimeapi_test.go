package runtimeapi_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
)

func client(t testing.TB, h http.HandlerFunc) *runtimeapi.Client {
	server := httptest.NewServer(h)
	c := runtimeapi.New(strings.TrimPrefix(server.URL, "http://"))
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return c
}

func TestNext(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	deadline := "1700000000123"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/2018-06-01/runtime/invocation/next", r.URL.Path)
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "id-1")
		w.Header().Set("Lambda-Runtime-Trace-Id", "Root=1-2-3")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", deadline)
		io.WriteString(w, `{"a":1}`)
	}))
	defer server.Close()
	c := runtimeapi.New(strings.TrimPrefix(server.URL, "http://"))
	defer c.Close()
	e, err := c.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, runtimeapi.Event{ID: "id-1", TraceID: "Root=1-2-3", Deadline: time.UnixMilli(1700000000123), Payload: []byte(`{"a":1}`)}, e)

	deadline = "soon"
	_, err = c.Next(t.Context())
	require.EqualError(t, err, `next invocation: Lambda-Runtime-Deadline-Ms: "soon" is not a number`)
}

func TestAnswers(t *testing.T) {
	type call struct{ path, kind, body string }
	calls := make(chan call, 1)
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- call{r.URL.Path, r.Header.Get("Lambda-Runtime-Function-Error-Type"), string(body)}
		w.WriteHeader(http.StatusAccepted)
	})
	f := runtimeapi.Failure{Type: "T", Message: `what "happened"`}
	const body = `{"errorType":"T","errorMessage":"what \"happened\""}`
	require.NoError(t, c.Respond(t.Context(), "id-1", []byte(`{"x":1}`)))
	require.Equal(t, call{"/2018-06-01/runtime/invocation/id-1/response", "", `{"x":1}`}, <-calls)
	require.NoError(t, c.Fail(t.Context(), "id-1", f))
	require.Equal(t, call{"/2018-06-01/runtime/invocation/id-1/error", "T", body}, <-calls)
}

func TestErrorsNameTheCallAndRepeatTheText(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such id", http.StatusForbidden) })
	_, err := c.Next(t.Context())
	require.EqualError(t, err, "next invocation: status 403: no such id")
	require.EqualError(t, c.Respond(t.Context(), "x", nil), "respond to invocation: status 403: no such id")
	_, err = c.Register(t.Context(), "lambdapeer")
	require.EqualError(t, err, "register extension: status 403: no such id")
}

func TestNextEndsWithItsContext(t *testing.T) {
	entered := make(chan struct{})
	c := client(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := c.Next(ctx)
		failed <- err
	}()
	<-entered
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
}

func FuzzExtensionEvent(f *testing.F) {
	f.Add([]byte(`{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1}`))
	f.Add([]byte(`{"deadlineMs":"x"}`))
	var body []byte
	c := client(f, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", "e")
		_, _ = w.Write(body)
	})
	e, err := c.Register(f.Context(), "x")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		body = data
		_, _ = e.Next(t.Context())
	})
}

func FuzzNext(f *testing.F) {
	f.Add("id", "1700000000000", []byte(`{}`))
	f.Add("", "-1", []byte(nil))
	var id, deadline string
	var body []byte
	c := client(f, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", deadline)
		_, _ = w.Write(body)
	})
	f.Fuzz(func(t *testing.T, i, d string, data []byte) {
		id, deadline, body = i, d, data
		e, err := c.Next(t.Context())
		if err == nil {
			require.NotEmpty(t, e.ID)
		}
	})
}
