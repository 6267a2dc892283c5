package scaler

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDocumentSaysHowEachCauseIsReactedTo holds the table in docs/operating.md equal to the one in ruleOf.
func TestDocumentSaysHowEachCauseIsReactedTo(t *testing.T) {
	text, err := os.ReadFile("../../../docs/operating.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "## When starts fail")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")

	rows := regexp.MustCompile("(?m)^\\| (`.*) \\| (\\S+ s) \\| (\\S+ s) \\| (.*) \\| (.*) \\|$").FindAllStringSubmatch(section, -1)
	documented := map[Cause]bool{}
	for _, row := range rows {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			cause := Cause(name[1])
			documented[cause] = true
			r := ruleOf(cause)
			require.Equal(t, r.first, seconds(t, row[2]), cause)
			require.Equal(t, r.longest, seconds(t, row[3]), cause)
			require.Equal(t, r.several, strings.HasPrefix(row[4], "half as many"), cause)
			require.Equal(t, r.freed, strings.Contains(row[4], "when an instance ends"), cause)
			require.Equal(t, map[class]string{
				retry: "for their whole time", probe: "until the third failure", stop: "not at all",
			}[r.class], row[5], cause)
		}
	}
	require.Len(t, documented, len(StartCauses))
	for _, cause := range StartCauses {
		require.Contains(t, documented, cause)
	}
	require.Equal(t, 3, OpenAfter)
	require.Equal(t, 10, Attempts)
}

func seconds(t *testing.T, cell string) time.Duration {
	d, err := time.ParseDuration(strings.ReplaceAll(cell, " ", ""))
	require.NoError(t, err)
	return d
}
