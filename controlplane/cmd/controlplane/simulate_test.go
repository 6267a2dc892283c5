package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A trace of one's own: a table, the numbers, and a plot that a browser can show.
func TestSimulateATrace(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "mine.csv")
	require.NoError(t, os.WriteFile(trace, []byte("at,service_ms\n"+strings.Repeat("1,100\n2,3000\n30,500\n", 20)), 0o600))
	stdout, stderr, err := try(t, "simulate", "--trace", trace, "--policy", "ours,kpa", "--seeds", "2",
		"--plots", filepath.Join(dir, "plots"), "--json", filepath.Join(dir, "rows.json"))
	require.NoError(t, err)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "| mine | ours | ")
	require.Contains(t, stdout, "| mine | kpa | ")
	require.FileExists(t, filepath.Join(dir, "rows.json"))
	plot, err := os.Open(filepath.Join(dir, "plots", "mine-ours.svg"))
	require.NoError(t, err)
	defer plot.Close()
	for d := xml.NewDecoder(plot); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
	}
}

// Whoever has a trace finds out from the help alone how to write and what to compare it with.
func TestSimulateHelpsWithTracesAndPolicies(t *testing.T) {
	stdout, _, err := try(t, "simulate", "--help")
	require.NoError(t, err)
	for _, column := range []string{"at", "at_ms", "TIMESTAMP", "service_ms", "GeneratedTokens", "ContextTokens"} {
		require.Regexp(t, `(?m)^    `+column+` +\S+`, stdout)
	}
	for _, policy := range []string{"ours", "plain", "kpa", "per-waiter", "utilization", "upstream", "first-rule"} {
		require.Regexp(t, `(?m)^  `+policy+` +\S+ \S+`, stdout)
	}
	require.NotContains(t, stdout, "%!")
}

func TestMistakesInTheArgumentsOfSimulate(t *testing.T) {
	bad, none := file(t, "at,service_ms\n1,100\n2,abc\n"), file(t, "at,service_ms\n")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--policy", "best"}, `simulate: policy "best": unknown, there are ours, plain, kpa`},
		{[]string{"--workload", "rush"}, `workload "rush": unknown, there are constant`},
		{[]string{"--trace", "/nowhere.csv"}, "open /nowhere.csv: no such file or directory"},
		{[]string{"--trace", bad}, "simulate: " + bad + `: line 3, service_ms: "abc" is no number`},
		{[]string{"--trace", none}, "simulate: " + none + ": no requests"},
		{[]string{"--preset", "ruby"}, `simulate: preset "ruby": unknown, there are image, zip, jvm`},
		{[]string{"--seeds", "0"}, "simulate: --seeds and --concurrency must be at least 1"},
		{[]string{"file.csv"}, `simulate: unexpected argument "file.csv"`},
	} {
		stdout, _, err := try(t, append([]string{"simulate"}, c.args...)...)
		require.ErrorContains(t, err, c.says)
		require.Empty(t, stdout)
	}
}
