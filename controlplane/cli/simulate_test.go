package cli

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
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

// The pictures of docs/scaling.md show the policy as it is.
func TestScalingPictures(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round in other places")
	}
	const pictures = "../../docs/scaling"
	dir := pictures
	if !*update {
		dir = t.TempDir()
	}
	_, _, err := try(t, "simulate", "--workload", "azllm_code-twin", "--workload", "spike", "--policy", "ours", "--seeds", "1", "--plots", dir)
	require.NoError(t, err)
	for _, name := range []string{"azllm_code-twin-ours.svg", "spike-ours.svg"} {
		drawn, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		kept, err := os.ReadFile(filepath.Join(pictures, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(kept, drawn), "%s is older than the policy, or than what draws it: make pictures", name)
	}
}

// What cannot be said, because nobody was served, is null in JSON and a dash in the table.
func TestSimulateWhereNobodyIsServed(t *testing.T) {
	trace, rows := file(t, "at,service_ms\n1,100\n2,100\n"), filepath.Join(t.TempDir(), "rows.json")
	stdout, _, err := try(t, "simulate", "--trace", trace, "--policy", "ours", "--seeds", "1", "--queue-limit", "0", "--json", rows)
	require.NoError(t, err)
	require.Contains(t, stdout, "| (-) ± - | -, - |")
	text, err := os.ReadFile(rows)
	require.NoError(t, err)
	var all []struct{ Ratio, Lost struct{ Mean *float64 } }
	require.NoError(t, json.Unmarshal(text, &all))
	require.Nil(t, all[0].Ratio.Mean)
	require.Equal(t, 2.0, *all[0].Lost.Mean)
}

// The last of two flags counts.
func TestWorksOnCanBeTakenBack(t *testing.T) {
	trace := file(t, "at,service_ms\n"+strings.Repeat("1,100\n2,300\n", 20))
	table := func(args ...string) string {
		stdout, _, err := try(t, append([]string{"simulate", "--trace", trace, "--policy", "ours", "--seeds", "1"}, args...)...)
		require.NoError(t, err)
		return stdout
	}
	require.NotEqual(t, table(), table("--works-on", "yes"))
	require.Equal(t, table(), table("--works-on", "yes", "--works-on", "no"))
}

// Everything that the model knows is within reach of the flags, and changes what comes out.
func TestTheFlagsOfSimulateReachTheModel(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "mine.csv")
	var rows strings.Builder
	rows.WriteString("at,service_ms\n")
	for k := range 600 {
		fmt.Fprintf(&rows, "%d.%d,%d\n", k/5, k%5*2, 100+k%7*300)
	}
	require.NoError(t, os.WriteFile(trace, []byte(rows.String()), 0o600))
	table := func(args ...string) string {
		stdout, _, err := try(t, append([]string{"simulate", "--trace", trace, "--policy", "ours", "--seeds", "1"}, args...)...)
		require.NoError(t, err, args)
		return stdout
	}
	usual := table()
	for _, args := range [][]string{
		{"--memory", "128"},
		{"--fee", "0.001"},
		{"--gb-second", "1"},
		{"--init", "14s"},
		{"--life", "10s-20s"},
		{"--slow", "0.5"},
		{"--slow", "0.5", "--slow-times", "3"},
		{"--crashes", "20s"},
		{"--init-fails", "0.9"},
		{"--dial-fails", "0.9"},
		{"--cpu", "1"},
		{"--cpu", "1", "--cores", "0.5"},
		{"--learn", "yes"},
		{"--leave", "0.5", "--patience", "1s"},
		{"--leave", "0.5", "--patience", "1s", "--works-on", "yes"},
		{"--max", "1", "--queue-limit", "1"},
		{"--max", "1", "--queue-timeout", "50ms", "--concurrency", "2"},
		{"--linger", "2s"},
		{"--envoy-outage", "60s+20s"},
		{"--envoy-outage", "60s+2s", "--retries", "9"},
		{"--control-outage", "60s+20s"},
		{"--environments-lost", "60s"},
		{"--preference", "cost"},
		{"--preset", "jvm"},
	} {
		require.NotEqual(t, usual, table(args...), args)
	}
}

// The tables of the suite go to their places in the page.
func TestTablesGoToTheirPlacesInThePage(t *testing.T) {
	before, err := os.ReadFile("../../docs/scaling-tables.md")
	require.NoError(t, err)
	page := file(t, string(before))
	stdout, _, err := try(t, "simulate", "--part", "steps", "--seeds", "1", "--page", page)
	require.NoError(t, err)
	after, err := os.ReadFile(page)
	require.NoError(t, err)
	table := strings.TrimPrefix(stdout, "\n## Steps\n\n")
	require.Contains(t, table, "| 100 at once | ours | ")
	require.Contains(t, string(after), "<!-- steps: made by make simulate -->\n"+table+"<!-- end -->\n")
}

// Whoever has a trace finds out from the help alone how to write and what to compare it with.
func TestSimulateHelpsWithTracesAndPolicies(t *testing.T) {
	stdout, _, err := try(t, "simulate", "--help")
	require.NoError(t, err)
	for _, column := range []string{"at", "at_ms", "TIMESTAMP", "service_ms", "GeneratedTokens", "ContextTokens", "stream"} {
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
		{[]string{"--trace", bad}, "simulate: " + bad + `: line 3, service_ms: "abc" is not a number`},
		{[]string{"--trace", none}, "simulate: " + none + ": no requests"},
		{[]string{"--preset", "ruby"}, `simulate: preset "ruby": unknown, there are image, zip, jvm`},
		{[]string{"--seeds", "0"}, "simulate: --seeds and --concurrency must be at least 1"},
		{[]string{"--memory", "1.5"}, `"1.5" is not a whole number`},
		{[]string{"--memory", "-1"}, `"-1" is not a whole number from 128 to 10240`},
		{[]string{"--memory", "64"}, `"64" is not a whole number from 128 to 10240`},
		{[]string{"--max", "0"}, `"0" is not a whole number from 1 on`},
		{[]string{"--retries", "-1"}, `"-1" is not a whole number`},
		{[]string{"--slow", "2"}, `"2" is not a share from 0 to 1`},
		{[]string{"--slow", "0,5"}, `"0,5" is not a share from 0 to 1`},
		{[]string{"--fee", "1 cent"}, `"1 cent" is not a number from 0 to 1e9`},
		{[]string{"--life", "60m-45m"}, `"60m-45m" is not a range such as 45m-60m`},
		{[]string{"--envoy-outage", "60s"}, `"60s" is not an outage such as 60s+20s`},
		{[]string{"--envoy-outage", "60s+20s", "--environments-lost", "90s"}, "a simulation has one outage, and --envoy-outage has set it"},
		{[]string{"--part", "steps", "--workload", "constant"}, "simulate: --part: has no effect, because --trace or --workload says what is replayed"},
		{[]string{"--slow-times", "3"}, "simulate: --slow-times needs --slow"},
		{[]string{"--slow", "0.5", "--slow-times", "0.5"}, `"0.5" is not a number from 1 to 1e9`},
		{[]string{"--leave", "0.5"}, "simulate: --leave needs --patience"},
		{[]string{"--patience", "1s"}, "simulate: --patience needs --leave"},
		{[]string{"--cores", "2"}, "simulate: --cores needs --cpu"},
		{[]string{"--cpu", "1", "--cores", "0"}, `"0" is not a number from 0.01 to 1e9`},
		{[]string{"--gb-second", "0"}, `"0" is not a number from 1e-09 to 1e9`},
		{[]string{"--cpu", "1", "--works-on", "yes"}, "simulate: --works-on and --cpu exclude each other"},
		{[]string{"--traces", "/nowhere", "--workload", "constant"}, "simulate: --traces: has no effect, because --trace or --workload says what is replayed"},
		{[]string{"--part", "steps", "--json", "rows.json"}, "simulate: --part steps: --traces, --plots, --json and --policy have no effect on it"},
		{[]string{"--preference", "best"}, `"best" is none of cost, balanced, latency`},
		{[]string{"file.csv"}, `simulate: unexpected argument "file.csv"`},
	} {
		stdout, _, err := try(t, append([]string{"simulate"}, c.args...)...)
		require.ErrorContains(t, err, c.says)
		require.Empty(t, stdout)
	}
}
