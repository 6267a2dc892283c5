package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	scenario = regexp.MustCompile(`(?m)^(\d+)\. `)
	citation = regexp.MustCompile(`[Ss]cenarios?((?:,? (?:and |to )?\d+)+)`)
	number   = regexp.MustCompile(`\d+`)
)

// notBuilt marks a scenario that is an aim.
const notBuilt = "*(not built)*"

// Tests cite the acceptance scenarios by number, and each scenario is cited or marked as not built.
func TestEveryScenarioThatATestCitesExists(t *testing.T) {
	text, err := os.ReadFile("scenarios.md")
	require.NoError(t, err)
	listed := scenario.FindAllStringSubmatch(string(text), -1)
	for i, match := range listed {
		require.Equal(t, strconv.Itoa(i+1), match[1], "scenarios.md counts without gaps")
	}
	cited := citedScenarios(t)
	require.NotEmpty(t, cited)
	for n, file := range cited {
		require.True(t, n >= 1 && n <= len(listed), "%s cites scenario %d, which scenarios.md does not have", file, n)
	}
	for i, text := range scenario.Split(string(text), -1)[1:] {
		if cited[i+1] == "" {
			require.Contains(t, text, notBuilt, "no test cites scenario %d", i+1)
		}
	}
}

// citedScenarios are the numbers in tests, each with one of the files that have it.
func citedScenarios(t *testing.T) map[int]string {
	cited := map[int]string{}
	for _, folder := range []string{"controlplane", "lambdapeer", "lambdalocal", "envoy", "examples", "bench"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("..", folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range citation.FindAllStringSubmatch(string(text), -1) {
				for _, digits := range number.FindAllString(match[1], -1) {
					n, err := strconv.Atoi(digits)
					require.NoError(t, err)
					cited[n] = path
				}
			}
			return err
		}))
	}
	return cited
}
