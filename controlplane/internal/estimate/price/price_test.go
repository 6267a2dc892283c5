package price_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func TestTheBuiltInListIsWhole(t *testing.T) {
	list, err := price.Read(bytes.NewReader(price.BuiltIn()))
	require.NoError(t, err)
	require.Regexp(t, `^20\d\d-\d\d-\d\d$`, list.Date)
	for _, region := range list.Regions {
		set, err := list.For(region)
		require.NoError(t, err)
		for _, name := range price.Names() {
			require.Positive(t, set.Of(name), name)
			require.Contains(t, set.Describe(name), list.Sources[list.Prices[name].Source].Page)
		}
	}
	for name, s := range list.Sources {
		require.NotEmpty(t, s.Page, name)
		require.NotEmpty(t, s.Seen, name)
	}
}

// The control plane's bill and the estimate have the same prices.
func TestPricesOfLambdaAreThoseOfTheConfiguration(t *testing.T) {
	set, err := price.Default().For("us-east-1")
	require.NoError(t, err)
	p := config.Default().Pricing
	require.Equal(t, p.PerMillionRequests, set.Of(price.LambdaRequests))
	require.Equal(t, p.GBSecondX86, set.Of(price.LambdaSeconds+price.X86))
	require.Equal(t, p.GBSecondARM, set.Of(price.LambdaSeconds+price.ARM))
}

// The ledger of lambdalocal, too.
func TestPricesOfTheLedgerAreTheSame(t *testing.T) {
	set, err := price.Default().For("us-east-1")
	require.NoError(t, err)
	p := lambdalocal.Default().Prices
	for name, ledger := range map[string]float64{
		price.LambdaRequests: p.MillionRequests, price.LambdaSeconds + price.X86: p.GBSecondX86, price.LambdaSeconds + price.ARM: p.GBSecondARM,
		price.ManagedRequests: p.ManagedRequests, price.ManagedFee: p.ManagedFee,
		price.EC2Compute + price.X86: p.EC2HourCX86, price.EC2Compute + price.ARM: p.EC2HourCARM,
		price.EC2General + price.X86: p.EC2HourMX86, price.EC2General + price.ARM: p.EC2HourMARM,
		price.EC2Memory + price.X86: p.EC2HourRX86, price.EC2Memory + price.ARM: p.EC2HourRARM,
	} {
		require.Equal(t, set.Of(name), ledger, name)
	}
}

func TestAListThatIsWrongNamesAllThatIs(t *testing.T) {
	text := string(price.BuiltIn())
	for name, tt := range map[string]struct{ from, to, says string }{
		"misspelt key":   {"sources:", "source:", "source"},
		"missing price":  {"  nat_gb:", "  nat_gigabyte:", "prices.nat_gb: is missing"},
		"unknown price":  {"  nat_gb:", "  nat_gigabyte:", "prices.nat_gigabyte: is not a known price"},
		"missing region": {"us-east-1: 0.045,", "", "prices.nat_hour.us-east-1: is missing"},
		"negative":       {"us-east-1: 0.045,", "us-east-1: -1,", "prices.nat_hour.us-east-1: must be 0 to 1000 dollars, got -1"},
		"not a number":   {"us-east-1: 0.045,", "us-east-1: .nan,", "prices.nat_hour.us-east-1: must be 0 to"},
		"no number":      {"us-east-1: 0.045,", "us-east-1: cheap,", "cheap"},
		"source":         {"source: vpc", "source: hearsay", `must be one of sources, got "hearsay"`},
		"no date":        {"date: 2026-11-29", "date:", "date: must be set"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, text, tt.from)
			_, err := price.Read(strings.NewReader(strings.ReplaceAll(text, tt.from, tt.to)))
			require.ErrorContains(t, err, tt.says)
		})
	}
	_, err := price.Read(strings.NewReader(""))
	require.ErrorContains(t, err, "empty")
	_, err = price.Default().For("mars-1")
	require.EqualError(t, err, `no prices of region "mars-1", there are us-east-1, eu-central-1; --prices FILE reads others`)
}
