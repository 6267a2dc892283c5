package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/suite"
)

func TestSmallAmountsHaveDigitsThatTellSomething(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0000312345: "0.0000312", 0.25: "0.250", 1.234: "1.23", 12.34: "12.3", 1234.5: "1234", -0.0123: "-0.0123",
	} {
		require.Equal(t, want, significant(v))
	}
	var table strings.Builder
	Table(&table, []suite.Row{{Workload: "mine", Policy: "ours", GBSeconds: suite.Stat{Mean: 0.042}, Dollars: suite.Stat{Mean: 0.00000123}}})
	require.Contains(t, table.String(), " | 0.0420 | 0.00000123 | ")
}

// A ratio that was got by losing requests is in brackets, and meets no target.
func TestARowWithLossesIsMarked(t *testing.T) {
	cheap := suite.Row{Workload: "mine", Policy: "ours", Ratio: suite.Stat{Mean: 1.01}, Lost: suite.Stat{Mean: 2}}
	dear := suite.Row{Workload: "mine", Policy: "kpa", Ratio: suite.Stat{Mean: 1.5}}
	var table strings.Builder
	Table(&table, []suite.Row{cheap, dear})
	require.Contains(t, table.String(), "| ours | (1.010) ")
	require.Contains(t, table.String(), " | **2.0** |")
	require.Contains(t, table.String(), "| kpa | 1.500 ")
	verdicts := Verdicts([]suite.Row{cheap, dear})
	require.Equal(t, []string{"2.0 requests lost"}, verdicts[0].Missed())
	dear.Lost, cheap.Lost = cheap.Lost, suite.Stat{}
	require.Empty(t, Verdicts([]suite.Row{cheap, dear})[0].Cheapest.Policy, "a baseline that loses requests is no rival")
}

// Of a row that served nothing there are no shares.
func TestSharesOfNothingAreDashes(t *testing.T) {
	none := suite.Stat{Mean: math.NaN(), Spread: math.NaN()}
	var table strings.Builder
	Table(&table, []suite.Row{
		{Workload: "mine", Policy: "ours", Ratio: none, OverLeast: none, OverPacked: none, Utilization: none, Lost: suite.Stat{Mean: 1}},
		{Workload: "mine", Policy: "plain", Ratio: suite.Stat{Mean: math.Inf(1), Spread: math.NaN()}},
	})
	require.Contains(t, table.String(), "| mine | ours | (-) ± - | -, - | ")
	require.Contains(t, table.String(), " | 0 | 0 | - | **1.0** |")
	require.Contains(t, table.String(), "| mine | plain | - ± - | ")
}

// What falls short is named with what was aimed at, and nothing else is.
func TestTargetsNameWhatMissesThem(t *testing.T) {
	var text strings.Builder
	Targets(&text, Verdicts([]suite.Row{
		{Workload: "good", Smooth: true, Policy: "ours", Ratio: suite.Stat{Mean: 1.09}},
		{Workload: "dear", Smooth: true, Policy: "ours", Ratio: suite.Stat{Mean: 1.2}},
		{Workload: "dear", Policy: "plain", Ratio: suite.Stat{Mean: 9}, Settled: suite.Stat{Mean: 36}},
		{Workload: "bursts", Policy: "ours", Ratio: suite.Stat{Mean: 1.2}, Settled: suite.Stat{Mean: 60}},
	}))
	require.Contains(t, text.String(), "1 of 3 workloads meet all targets")
	require.Contains(t, text.String(), "| dear | 1.200 billed, target 1.10 | 0.000, 0.000 | plain: 9.000; 36 |\n")
	require.Contains(t, text.String(), "| bursts | p99 of 60 ms, target 50 | 0.000, 0.000 | none |\n")
	require.NotContains(t, text.String(), "| good |")
}

// Of each change of our policy the reader sees where it costs most, and where it would be better.
func TestIdeasAreComparedWithOurs(t *testing.T) {
	row := func(workload, policy string, ratio, wait float64) suite.Row {
		return suite.Row{Workload: workload, Policy: policy, Ratio: suite.Stat{Mean: ratio}, Settled: suite.Stat{Mean: wait}}
	}
	rows := []suite.Row{row("a", "ours", 1, 10), row("a", "lazy", 4, 5), row("b", "ours", 2, 10), row("b", "lazy", 2, 30)}
	var text strings.Builder
	Ideas(&text, rows, []baseline.Contender{{Name: "ours"}, {Name: "lazy", About: "sleeps"}})
	require.Contains(t, text.String(), "| lazy | sleeps | 2.000 | 4.000, a | 1.000, b | +20, b | -5, a |\n")
}

// Sections of a page are replaced, what is around them stays, and a page that lacks one is not written.
func TestSectionsAreWrittenIntoAPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	const page = "before\n<!-- a: made by make simulate -->\nold\n<!-- end -->\nbetween\n<!-- b: made by make simulate -->\n<!-- end -->\nafter\n"
	require.NoError(t, os.WriteFile(path, []byte(page), 0o600))
	require.ErrorContains(t, PutInto(path, Section{Name: "a", Text: "new\n"}, Section{Name: "c"}), "<!-- c: made by make simulate -->")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, page, string(text))
	require.NoError(t, PutInto(path, Section{Name: "b", Text: "B\n"}, Section{Name: "a", Text: "A\n"}))
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "before\n<!-- a: made by make simulate -->\nA\n<!-- end -->\nbetween\n<!-- b: made by make simulate -->\nB\n<!-- end -->\nafter\n", string(text))
}
