package program

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunServesUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var bill, log bytes.Buffer
	args := []string{"run", "--address", "127.0.0.1:0", "--direct", "127.0.0.1:0", "--function", "web=./bootstrap --flag"}
	require.NoError(t, run(ctx, context.Background(), args, nil, "", &bill, &log))
	require.Contains(t, log.String(), "lambdalocal serves")
	require.Contains(t, log.String(), "direct=\"http://127.0.0.1:")
	require.Contains(t, log.String(), "lambdalocal has ended")
	require.Regexp(t, `(?m)^ +total +0.00000000$`, bill.String())
}

func TestFlagsWinOverTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("address: 127.0.0.1:1\nfunctions: [{name: a, command: [x], timeout: 9s}]"), 0o600))
	cfg, _, err := parse([]string{"--config", path, "--function", "b=y z"}, nil, io.Discard, os.Stderr)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", cfg.Address)
	require.Equal(t, 9*time.Second, cfg.Functions[0].Timeout)
	require.Equal(t, []string{"y", "z"}, cfg.Functions[1].Command)

	cfg, _, err = parse([]string{"--config", path, "--address", "127.0.0.1:2", "--direct", "127.0.0.1:3"}, nil, io.Discard, os.Stderr)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:2", cfg.Address)
	require.Equal(t, "127.0.0.1:3", cfg.Direct.Address)
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"the only command is run":   {},
		"must be NAME=COMMAND":      {"run", "--function", "web"},
		"unexpected argument":       {"run", "extra"},
		"--log-level":               {"run", "--log-level", "loud", "--function", "web=x"},
		"--log-format: must be":     {"run", "--log-format", "xml", "--function", "web=x"},
		"no such file":              {"run", "--config", "does-not-exist.yaml"},
		"no functions: --config":    {"run"},
		"the name of the file":      {"run", "--config", "", "--function", "web=x"},
		"unexpected argument \"x\"": {"version", "x"},
		"functions[0].command":      {"run", "--function", "web="},
		"see lambdalocal run --he":  {"run", "--nonsense"},
	} {
		var out bytes.Buffer
		err := run(context.Background(), context.Background(), args, nil, "", io.Discard, &out)
		require.ErrorContains(t, err, want)
		inFile := strings.HasPrefix(want, "no such") || strings.HasPrefix(want, "functions")
		require.Equal(t, map[bool]int{true: 1, false: 2}[inFile], exitCode(err), want)
	}
	for _, args := range [][]string{{"run", "--help"}, {"--help"}, {"help"}} {
		var out bytes.Buffer
		require.NoError(t, run(context.Background(), context.Background(), args, nil, "", &out, io.Discard))
		require.Contains(t, out.String(), "-log-level")
		require.Contains(t, out.String(), "split at blanks")
	}
}

func TestVersion(t *testing.T) {
	for _, name := range []string{"version", "--version"} {
		var out bytes.Buffer
		require.NoError(t, run(context.Background(), context.Background(), []string{name}, nil, "", &out, io.Discard))
		require.Equal(t, "lambdalocal "+version("")+"\n", out.String())
	}
}
