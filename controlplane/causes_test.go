package controlplane_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const causesHead = "| cause | status | what happened | look at |"

// A client that got an error looks its cause up, so each that can be sent is in the table, and nothing else is.
func TestTheTableOfCausesIsWhole(t *testing.T) {
	sent := slices.Concat(xds.Causes(), wire.Causes)
	for _, c := range admission.Causes {
		sent = append(sent, string(c))
	}
	slices.Sort(sent)
	require.Equal(t, slices.Compact(sent), documentedCauses(t))
}

func documentedCauses(t *testing.T) []string {
	text, err := os.ReadFile("../docs/operating.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), causesHead+"\n|---|---|---|---|\n")
	require.True(t, found)
	table, _, _ := strings.Cut(rest, "\n\n")
	var causes []string
	for row := range strings.Lines(table) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
			causes = append(causes, name[1])
		}
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(causes))), len(causes), "each once")
	return slices.Sorted(slices.Values(causes))
}

// Two tables would disagree one day.
func TestThereIsOneTableOfCauses(t *testing.T) {
	var in []string
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != "..":
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "| cause | status |") {
			in = append(in, path)
		}
		return err
	}))
	require.Equal(t, []string{"../docs/operating.md"}, in)
}
