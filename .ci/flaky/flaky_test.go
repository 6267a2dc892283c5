package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func reported(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.json")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	var out strings.Builder
	require.NoError(t, run([]string{file}, &out))
	return out.String()
}

const (
	parentFails = `{"Action":"fail","Package":"p","Test":"TestA"}`
	childFails  = `{"Action":"fail","Package":"p","Test":"TestA/sub"}`
	childPasses = `{"Action":"pass","Package":"p","Test":"TestA/sub"}`
	parentPass  = `{"Action":"pass","Package":"p","Test":"TestA"}`
)

func output(test, text string) string {
	return `{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + text + `\n"}`
}

func TestATestThatFailsAndPassesIsFlakyWithItsFirstMessage(t *testing.T) {
	require.Equal(t, `flaky tests: 1 failed and passed at a second try; the first failure of each:
  FLAKY p TestA/sub
            a_test.go:7: expected: 9
            actual: 11
`, reported(t,
		output("TestA/sub", "=== RUN   TestA/sub"), output("TestA/sub", "a line of a log"),
		output("TestA/sub", "    a_test.go:7: expected: 9"), output("TestA/sub", "    actual: 11"),
		output("TestA/sub", "    --- FAIL: TestA/sub (0.1s)"), childFails, parentFails,
		output("TestA/sub", "    a_test.go:8: another word"), childPasses, parentPass))
}

func TestWhatNeverPassesOrNeverFailsIsNotFlaky(t *testing.T) {
	const none = "flaky tests: none\n"
	require.Equal(t, none, reported(t, childPasses, parentPass))
	require.Equal(t, none, reported(t, childFails, parentFails, childFails, parentFails))
	require.Equal(t, none, reported(t, childPasses, childFails), "a run that fails at the end has failed")
}

func TestAFailureOfATestItselfIsItsOwn(t *testing.T) {
	said := reported(t, childPasses, output("TestA", "panic: nil map"), parentFails, parentPass)
	require.Contains(t, said, "FLAKY p TestA\n")
	require.Contains(t, said, "panic: nil map")
}

func TestALongMessageIsCut(t *testing.T) {
	var lines []string
	for range 3 * messageLines {
		lines = append(lines, output("TestA", "    a_test.go:7: again"))
	}
	said := reported(t, append(lines, parentFails, parentPass)...)
	require.Equal(t, messageLines, strings.Count(said, "again"))
}

func TestAFileThatIsNotOfGoTestIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run.json")
	require.NoError(t, os.WriteFile(file, []byte("PASS"), 0o600))
	require.ErrorContains(t, run([]string{file}, &strings.Builder{}), file+": not the output of go test -json")
	require.ErrorContains(t, run([]string{file + "x"}, &strings.Builder{}), "no such file")
}
