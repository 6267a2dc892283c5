package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// build builds what runs as function, extension and witness, as `make aws-proof` lays it out.
var (
	built string // empty: nothing was
	build = sync.OnceValue(func() (err error) {
		if built, err = os.MkdirTemp("", "proof"); err != nil {
			return err
		}
		for _, name := range []string{"function/bootstrap", "layer/extensions/proof", "witness/witness"} {
			if out, err := exec.Command("go", "build", "-o", filepath.Join(built, name), "./probe").CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
		}
		return nil
	})
)

func programs(t *testing.T) string {
	t.Helper()
	require.NoError(t, build())
	return built
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(built)
	os.Exit(code)
}

const testToken = "0123456789abcdef"

// answersOf asks lambdalocal, changed or not.
func answersOf(t *testing.T, change func(*lambdalocal.Config), only ...string) (all []answer) {
	t.Helper()
	require.NoError(t, rehearse(t.Context(), programs(t), testToken, change, func(ctx context.Context, s *stage) error {
		all = answers(ctx, s, only)
		return nil
	}))
	return all
}

// answeredHere has lambdalocal asked, which must do what is assumed. How long something takes on a busy machine is not looked at.
func answeredHere(t *testing.T, only ...string) {
	t.Helper()
	all := answersOf(t, func(*lambdalocal.Config) {}, only...)
	if len(only) > 0 {
		require.Len(t, all, len(only))
	} else {
		require.Len(t, all, len(probes))
	}
	times := []string{"invoke-cold", "invoke-warm", "dial", "socket-kill", "tail-waits"}
	for _, a := range all {
		require.NoError(t, a.err, a.id)
		require.NotEmpty(t, a.saw, a.id)
		if !slices.Contains(times, a.id) {
			require.True(t, a.as, "%s: %s", a.id, a.saw)
		}
	}
}

func TestProbesAreAnsweredHere(t *testing.T) {
	t.Parallel()
	answeredHere(t, "invoke-cold", "report-fields", "bill", "throttle-reason", "extension-variables")
}

// A Lambda that does something else is found out.
func TestWhatIsOtherwiseIsSeen(t *testing.T) {
	t.Parallel()
	other := func(cfg *lambdalocal.Config) {
		cfg.Faults = []lambdalocal.Fault{{Kind: lambdalocal.FaultThrottle, Function: throttled, Reason: "ConcurrentInvocationLimitExceeded"}}
		for i := range cfg.Functions {
			cfg.Functions[i].IdleExpiry = lambdalocal.Fixed(time.Millisecond)
		}
	}
	for _, a := range answersOf(t, other, "throttle-reason", "idle-life", "socket-freeze") {
		require.NoError(t, a.err, a.id)
		require.False(t, a.as, "%s: %s", a.id, a.saw)
	}
}

// Whoever has no token gets nothing from the witness, and leaves nothing there.
func TestTheWitnessKnowsWhoAsks(t *testing.T) {
	watched, asked, ended, err := startWitness(t.Context(), filepath.Join(programs(t), "witness", "witness"), testToken)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ended()) })
	response, err := http.Get("http://" + asked + "/name")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	conn, err := net.Dial("tcp", watched)
	require.NoError(t, err)
	_, err = fmt.Fprint(conn, "another name\nline\n")
	require.NoError(t, err)
	_, err = io.ReadAll(conn)
	require.True(t, err == nil || errors.Is(err, syscall.ECONNRESET), err)
	saw, err := witness{"http://" + asked, testToken}.see(t.Context(), "name")
	require.NoError(t, err)
	require.Empty(t, saw.Lines)
}

func TestLongAllProbesAreAnsweredHere(t *testing.T) {
	t.Parallel()
	answeredHere(t)
}

func TestTheReportSaysWhatIsOtherwise(t *testing.T) {
	r := report{where: "eu-central-1", when: time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC), answers: []answer{
		{probe: probe{id: "one", assumed: "it is so"}, saw: "it is so", as: true},
		{probe: probe{id: "two", assumed: "it is so"}, saw: "not | so"},
		{probe: probe{id: "three", assumed: "it is so"}, err: errors.New("nobody\nanswers")},
	}}
	var text bytes.Buffer
	require.NoError(t, r.write(&text))
	require.Equal(t, 1, r.failed())
	require.Contains(t, text.String(), "# Seen in eu-central-1, 2026-12-01\n")
	require.Contains(t, text.String(), "| `one` | it is so | it is so | as assumed |\n| `two` | it is so | not / so | **otherwise** |\n| `three` | it is so | nobody answers | not answered |\n")
}

func TestMoneyIsSpentOnlyByWhomAWSCanWriteTo(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), nil, &out), "-email: must be set, because this costs money")
	require.ErrorContains(t, run(t.Context(), []string{"-dry", "-only", "bill,bil"}, &out), `there is no probe "bil"`)
	require.Empty(t, out.String())
}

// A stack is taken down also where it could not be made, is not what was expected, or somebody interrupts.
func TestTheStackIsTakenDown(t *testing.T) {
	t.Chdir("../..")
	const interrupted = "context canceled" // by Ctrl-C
	bin, build := t.TempDir(), t.TempDir()
	said := filepath.Join(bin, "said")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	outputs := `{"` + stackName + `": {"Witness": "127.0.0.1:9", "Functionplain": "one"}}`
	for _, c := range []struct{ deploys, says string }{
		{"exit 1", "exit status 1"},
		{"echo '" + outputs + "' > " + build + "/outputs.json", "the function extended is missing"},
		{"exit 0", interrupted},
	} {
		script := "#!/bin/sh\necho \"$PROOF_EMAIL $PROOF_LINGER $*\" >> " + said + "\ncase \"$*\" in *deploy*) " + c.deploys + ";; esac\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, "npx"), []byte(script), 0o755))
		require.NoError(t, os.WriteFile(said, nil, 0o600))
		ctx, cancel := context.WithCancel(t.Context())
		if c.says == interrupted {
			cancel()
		}
		err := run(ctx, []string{"-email", "ops@example.com", "-region", "eu-central-1", "-build", build}, io.Discard)
		cancel()
		require.ErrorContains(t, err, c.says)
		text, err := os.ReadFile(said)
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		require.Regexp(t, `^ops@example.com 2s .* destroy --force$`, lines[len(lines)-1])
	}
}

func TestReportLinesAreRead(t *testing.T) {
	names, values := reportOf("START RequestId: a\nREPORT RequestId: a\tDuration: 1.20 ms\tBilled Duration: 32 ms\tMemory Size: 128 MB\tMax Memory Used: 20 MB\tInit Duration: 30.10 ms\t\nXRAY")
	require.Equal(t, reportFields, names)
	require.Equal(t, "32 ms", values["Billed Duration"])
	names, _ = reportOf("nothing")
	require.Empty(t, names)
}

// page reads a page, with its lines joined.
func page(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.Join(strings.Fields(string(text)), " ")
}

// The pages say of each assumption whether AWS was asked, and of the whole that it was not, until there is a report.
func TestPagesSayWhatWasSeen(t *testing.T) {
	status := map[string]string{}
	for _, p := range probes {
		status[p.id] = "assumed"
	}
	report, err := os.ReadFile("report.md")
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
		title := regexp.MustCompile(`^# Seen in (\S+), (\S+)\n`).FindStringSubmatch(string(report))
		require.NotNil(t, title, "report.md")
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` .* \\| (as assumed|\\*\\*otherwise\\*\\*) \\|$").FindAllStringSubmatch(string(report), -1) {
			status[row[1]] = "seen (" + title[2] + ", " + title[1] + ")"
		}
	} else {
		for _, file := range []string{"README.md", "../cdk/README.md"} {
			require.Contains(t, page(t, file), "never run on AWS", file)
		}
	}
	local := page(t, "../../lambdalocal/README.md")
	for _, p := range probes {
		require.Contains(t, local, "| `"+p.id+"` | "+p.assumed+" | "+status[p.id]+" |")
	}
}

// An assumption in the code has a probe, and the other way round.
func TestAssumptionsInTheCodeHaveProbes(t *testing.T) {
	found := map[string]bool{}
	mark := regexp.MustCompile(`\(assumed: ([a-z-]+)\)`)
	require.NoError(t, filepath.WalkDir("../../lambdalocal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, id := range mark.FindAllStringSubmatch(string(text), -1) {
			found[id[1]] = true
		}
		return err
	}))
	want := map[string]bool{}
	for _, p := range probes {
		require.False(t, want[p.id], "%s is there twice", p.id)
		want[p.id] = true
	}
	require.Equal(t, want, found)
}
