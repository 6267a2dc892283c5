package envoy_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// writes is a writer that calls it.
type writes func(text string)

func (w writes) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}

// Ctrl-C is no fault of Python's, and nobody has to install anything.
func TestAFetchThatIsInterruptedBlamesNothing(t *testing.T) {
	path := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(path, "python3"), []byte("#!/bin/sh\ncase $* in *--version) exit;; esac\necho busy\nexec sleep 1000\n"), 0o700))
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	into := t.TempDir()
	_, err := envoy.Fetch(ctx, into, "0.0.0", writes(func(text string) {
		if text == "busy\n" {
			cancel()
		}
	}))
	require.EqualError(t, err, "fetch envoy: context canceled")
	_, err = envoy.Fetch(ctx, into, "0.0.0", writes(func(text string) { t.Errorf("begins nevertheless: %s", text) }))
	require.EqualError(t, err, "fetch envoy: context canceled")
	left, err := os.ReadDir(into)
	require.NoError(t, err)
	require.Empty(t, left)
}

// A Python without pip is named, with what to install.
func TestAPythonWithoutPipIsNamed(t *testing.T) {
	path := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(path, "python3"), []byte("#!/bin/sh\necho No module named pip >&2\nexit 1\n"), 0o700))
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	_, err := envoy.Fetch(t.Context(), t.TempDir(), "0.0.0", io.Discard)
	require.ErrorContains(t, err, "python3-pip")
}
