package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A broken writer takes nothing.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

// Whatever a command prints, a script must not take what is cut off for all of it.
func TestOutputThatIsNotWrittenIsAnError(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	closed := &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	configuration := file(t, valid)
	trace := filepath.Join(t.TempDir(), "trace")
	require.NoError(t, os.WriteFile(trace, []byte("at\n0\n0.5\n"), 0o600))
	for _, command := range [][]string{
		{"version"},
		{"--version"},
		{"help"},
		{"help", "drain"},
		{"check", "--help"},
		{"completion", "bash"},
		{"check", configuration},
		{"estimate", "--print-prices"},
		{"simulate", "--trace", trace, "--policy", "plain", "--seeds", "1"},
	} {
		t.Run(strings.Join(command[:min(2, len(command))], " "), func(t *testing.T) {
			require.ErrorContains(t, run(t.Context(), command, nil, broken{full}, io.Discard), "output: write /dev/stdout: no space left on device")
			require.NoError(t, run(t.Context(), command, nil, broken{closed}, io.Discard), "nobody reads any more")
		})
	}
}

func TestAFullDeviceEndsInAStatusAndAMessage(t *testing.T) {
	device, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer device.Close()
	for _, args := range [][]string{{"version"}, {"lambdapeer", "--version"}, {"lambdalocal", "version"}, {"lambdalocal", "help"}, {"lambdapeer", "help"}} {
		var said strings.Builder
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asProgram+"=1"), device, &said
		var exit *exec.ExitError
		require.True(t, errors.As(cmd.Run(), &exit), args)
		require.Equal(t, 1, exit.ExitCode(), args)
		require.Contains(t, said.String(), "no space left on device", args)
	}
}
