package conformance_test

import (
	"context"
	"io"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

// Python's client does not stream.
func TestStreaming(t *testing.T) {
	client := goClient(t)
	log := logrus.New()
	log.SetOutput(io.Discard)
	e := environment.New(&environment.Config{
		Function: "web", Version: "$LATEST", Command: client.command, Dir: t.TempDir(), MemoryMB: 128,
		Timeout: patience, InitLimit: patience, Log: log,
	}, "0123", 1)
	ctx := context.Background()
	e.Init(ctx)
	defer e.Shutdown(environment.Spindown)

	var taken []byte
	take := func(chunk []byte) error { taken = append(taken, chunk...); return nil }
	r := e.Invoke(ctx, environment.Invocation{ID: "id-1", Payload: []byte(`{"do":"stream","size":3}`), Stream: take})
	require.Equal(t, environment.Succeeded, r.Outcome)
	require.Equal(t, "part 0\npart 1\npart 2\n", string(taken))
	require.Empty(t, r.Payload)

	taken = nil
	r = e.Invoke(ctx, environment.Invocation{ID: "id-2", Payload: []byte(`{"do":"stream","size":2,"text":"broke"}`), Stream: take})
	require.Equal(t, "part 0\npart 1\n", string(taken))
	require.Equal(t, environment.Errored, r.Outcome, "the trailers say so")
	require.Equal(t, "errorString", r.ErrorType)
	require.JSONEq(t, `{"errorType":"errorString","errorMessage":"broke"}`, string(r.Payload))

	r = e.Invoke(ctx, environment.Invocation{ID: "id-3", Payload: []byte(`{"do":"stream","size":2}`)})
	require.Equal(t, "part 0\npart 1\n", string(r.Payload), "for a caller who does not stream")
}
