package instance_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
)

// exchange sends method and target from a client at 203.0.113.7 and returns what came back.
func exchange(ctx context.Context, t *testing.T, h http.HandlerFunc, method, target string) (status int, length int64, body string, err error) {
	t.Helper()
	r, err := http.NewRequest(method, "http://app"+target, nil)
	require.NoError(t, err)
	r.RemoteAddr = "203.0.113.7:0"
	err = instance.Exchange(ctx, h, "env-1", slog.New(slog.DiscardHandler), r, func(res *http.Response) error {
		data, err := io.ReadAll(res.Body)
		status, length, body = res.StatusCode, res.ContentLength, string(data)
		return err
	})
	return status, length, body, err
}

func TestExchangeIsLikeATunnel(t *testing.T) {
	leaks(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Minute))
	defer cancel()
	want, _ := ctx.Deadline()
	handler := func(w http.ResponseWriter, r *http.Request) {
		info, _ := instance.InfoFrom(r.Context())
		deadline, _ := r.Context().Deadline()
		require.Equal(t, want, deadline)
		fmt.Fprintf(w, "%s %s %s %d", r.RequestURI, r.RemoteAddr, info.Environment, info.Gate.InFlight())
	}
	const text = "//a%2Fb?c=%20 203.0.113.7:0 env-1 1"
	status, _, body, err := exchange(ctx, t, handler, http.MethodGet, "//a%2Fb?c=%20")
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Equal(t, text, body)

	_, length, body, err := exchange(ctx, t, handler, http.MethodHead, "//a%2Fb?c=%20")
	require.NoError(t, err)
	require.Empty(t, body)
	require.EqualValues(t, len(text), length)

	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		got, _, body, err := exchange(ctx, t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, http.MethodGet, "/")
		require.NoError(t, err)
		require.Equal(t, status, got)
		require.Empty(t, body)
	}
}

func TestExchangeFailsWithItsHandler(t *testing.T) {
	leaks(t)
	_, _, _, err := exchange(t.Context(), t, func(http.ResponseWriter, *http.Request) { panic("as tested") }, http.MethodGet, "/")
	require.Error(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan struct{})
	_, _, _, err = exchange(ctx, t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		close(returned)
	}, http.MethodGet, "/")
	require.ErrorIs(t, err, context.Canceled)
	<-returned
}

// Nothing of a request may be left to be frozen, if it can be helped.
func TestExchangeWaitsForAHandlerThatHasAnswered(t *testing.T) {
	leaks(t)
	returned := false
	_, _, body, err := exchange(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ok")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(10 * time.Millisecond) // stands for work
		returned = true
	}, http.MethodGet, "/")
	require.NoError(t, err)
	require.Equal(t, "ok", body)
	require.True(t, returned)
}
