package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
	require.False(t, verdicts[0].Met())
	dear.Lost, cheap.Lost = cheap.Lost, suite.Stat{}
	require.Empty(t, Verdicts([]suite.Row{cheap, dear}), "a baseline that loses requests is no rival")
}
