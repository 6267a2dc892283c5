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
