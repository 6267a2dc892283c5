package source_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/source"
)

func TestAFileOrAVariable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte("in the file"), 0o600))
	t.Setenv("SOURCE_TEXT", "in the variable")
	for name, want := range map[string]string{file: "in the file", "env:SOURCE_TEXT": "in the variable"} {
		text, err := source.Read(name)
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
	t.Setenv("SOURCE_EMPTY", "")
	for name, want := range map[string]string{
		"/does/not/exist":  "no such file",
		"env:SOURCE_OTHER": "env:SOURCE_OTHER: the variable is not set",
		"env:SOURCE_EMPTY": "not set",
		"env:":             "not set",
	} {
		_, err := source.Read(name)
		require.ErrorContains(t, err, want)
	}
}
