package estimate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
)

func TestMoney(t *testing.T) {
	for v, text := range map[float64]string{0: "$0.00", 0.005: "$0.01", 1234567.891: "$1,234,567.89", -12.3: "-$12.30", 999.999: "$1,000.00"} {
		require.Equal(t, text, dollars(v).String())
	}
	for v, text := range map[float64]string{7: "7", 7251: "7,250", 18_249: "18,200", 999_600: "1,000,000", 131e6: "131 million", 5.256e9: "5.26 billion"} {
		require.Equal(t, text, many(v))
	}
	for v, text := range map[float64]string{2: "2", 0.81172: "0.8117", 23456.7: "23460", 1e6: "1000000", 1e-6: "0.000001"} {
		require.Equal(t, text, fourDigits(v))
	}
}

func TestTheLeaseIsReadAndWrittenAsOftenAsIsBilled(t *testing.T) {
	require.EqualValues(t, time.Second/lease.Watch, leaseReads)
	require.EqualValues(t, time.Second/lease.Renew, leaseWrites)
}
