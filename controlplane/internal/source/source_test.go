package source_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
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

// Whoever reads must get on: reloads wait for each other.
func TestWhatIsNoPlainFile(t *testing.T) {
	dir := t.TempDir()
	_, err := source.Read(dir)
	require.ErrorContains(t, err, "is a directory")

	large := filepath.Join(dir, "large")
	require.NoError(t, os.WriteFile(large, nil, 0o600))
	require.NoError(t, os.Truncate(large, 1<<30))
	_, err = source.Read(large)
	require.ErrorContains(t, err, "large: has more than 16777216 bytes")

	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	text, err := source.Read(pipe)
	require.NoError(t, err)
	require.Empty(t, text, "nobody writes")

	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = writer.Close() })
	_, err = source.Read(pipe)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "somebody may, but does not")
}

// As for check <(...) of a shell.
func TestAPipeIsRead(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = reader.Close() })
	go func() {
		_, _ = writer.WriteString("in the pipe")
		_ = writer.Close()
	}()
	text, err := source.Read(filepath.Join("/dev/fd", strconv.Itoa(int(reader.Fd()))))
	require.NoError(t, err)
	require.Equal(t, "in the pipe", string(text))
}
