package estimate_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
)

const day = 24 * time.Hour

func prices(t *testing.T) price.Set {
	t.Helper()
	set, err := price.Default().For("us-east-1")
	require.NoError(t, err)
	return set
}

func service(t *testing.T, rate, peak float64, period time.Duration) estimate.Service {
	t.Helper()
	s := estimate.Default()
	var err error
	s.Traffic.Profile, err = estimate.Wave(rate, peak, period)
	require.NoError(t, err)
	return s
}

func bills(t *testing.T, s estimate.Service) (estimate.Result, map[string]estimate.Bill) {
	t.Helper()
	r, err := estimate.Estimate(s, prices(t))
	require.NoError(t, err)
	byWay := map[string]estimate.Bill{}
	for _, b := range r.Bills {
		byWay[b.Way] = b
	}
	require.Len(t, byWay, 6)
	require.Equal(t, estimate.Ours, r.Bills[0].Way)
	return r, byWay
}

const (
	byURL = "plain Lambda, function URL"
	byALB = "plain Lambda, ALB"
	byAPI = "plain Lambda, HTTP API"
)

// Ten requests a second of 100 ms at 1 GB: AWS's own arithmetic, by hand.
func TestPlainLambdaIsWhatAWSWouldBill(t *testing.T) {
	s := service(t, 10, 1, day)
	s.Latency, s.Init, s.LogBytes, s.RequestBytes, s.ResponseBytes = 100*time.Millisecond, 0, 0, 0, 0
	_, byWay := bills(t, s)
	const requests = 10 * 730 * 3600
	b := byWay[byURL]
	require.InDelta(t, requests*0.1005*0.0000166667+requests*0.2/1e6, b.Sum(estimate.Compute).Dollars(), 0.02)
	require.Zero(t, b.Sum(estimate.Entry))
	require.InDelta(t, requests*1.0/1e6, byWay[byAPI].Sum(estimate.Entry).Dollars(), 0.01)
	// One new connection a second is 0.04 of a capacity unit.
	require.InDelta(t, 730*(0.0225+0.04*0.008), byWay[byALB].Sum(estimate.Entry).Dollars(), 0.01)
}

func TestABillIsTheSumOfItsLines(t *testing.T) {
	r, _ := bills(t, service(t, 20, 4, day))
	for _, b := range r.Bills {
		var lines, kinds estimate.Money
		for _, line := range b.Lines {
			require.GreaterOrEqual(t, line.Dollars, estimate.Money(0), line.What)
			lines += line.Dollars
		}
		for _, kind := range estimate.Kinds() {
			kinds += b.Sum(kind)
		}
		require.Equal(t, b.Total, lines, b.Way)
		require.Equal(t, b.Total, kinds, b.Way)
	}
}

// Of so few requests chance may draw none: the bill is that of a few nevertheless.
func TestOneRequestAMonthHasABill(t *testing.T) {
	for _, period := range []time.Duration{time.Minute, day, 31 * day} {
		r, byWay := bills(t, service(t, 1.01/(estimate.Hours*3600), 3, period))
		require.Positive(t, r.Served.Requests)
		require.InDelta(t, 0.3, r.Served.Seconds, 0.25)
		require.Zero(t, byWay[byURL].Total)
		require.InDelta(t, 72, byWay[estimate.Ours].Total.Dollars(), 10)
		require.False(t, r.Verdict.Pays)
	}
	s := service(t, 1, 3, day)
	s.Traffic.Profile.Rates = []float64{0, 1e-9}
	_, err := estimate.Estimate(s, prices(t))
	require.EqualError(t, err, "traffic: less than one request a month")
}

// Each rival wins where it should, and so does Lambda Dispatch.
func TestWhoWins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*estimate.Service)
		rate   float64
		peak   float64
		period time.Duration
		way    string
		says   string
	}{
		{"few requests", func(*estimate.Service) {}, 0.05, 4, day, byURL, "Leave it: plain Lambda, function URL is cheaper by $"},
		{"steady", func(s *estimate.Service) { s.CPU = 0.1 }, 200, 1.5, day, "Fargate alone", "the peak is only 1.5 times the mean"},
		{"steady, with a commitment to EC2", func(s *estimate.Service) {
			s.CPU, s.MemoryMB, s.ARM, s.Discounts.EC2 = 0.6, 1769, true, 0.5
		}, 500, 1.3, day, "Lambda Managed Instances, ALB", "no second one fits beside it"},
		{"bursts that wait", func(s *estimate.Service) {
			s.CPU, s.Latency, s.Concurrency = 0.02, 2*time.Second, 20
		}, 20, 8, 20 * time.Minute, "", "the peak is 8.0 times the mean and comes so quickly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := service(t, tt.rate, tt.peak, tt.period)
			tt.change(&s)
			r, _ := bills(t, s)
			require.Contains(t, r.Verdict.Sentence, tt.says)
			require.Equal(t, tt.way == "", r.Verdict.Pays)
			if tt.way != "" {
				require.Equal(t, tt.way, r.Verdict.Rival)
				require.Equal(t, r.Bills[1].Total-r.Bills[0].Total, r.Verdict.Saves)
				require.Negative(t, r.Verdict.Saves)
			}
		})
	}
}

// The less of its time a request computes, the more of them share an environment, down to a share of a tenth here.
func TestWaitingRequestsAreTheBestCase(t *testing.T) {
	var last estimate.Money
	for k, cpu := range []float64{1, 0.3, 0.1, 0} {
		s := service(t, 50, 2, day)
		s.CPU = cpu
		_, byWay := bills(t, s)
		compute := byWay[estimate.Ours].Sum(estimate.Compute)
		if k > 0 {
			require.Less(t, compute, last, "CPU share %v", cpu)
		}
		last = compute
	}
	// Ten at once: at best a tenth of plain Lambda.
	require.InDelta(t, 0.12, last.Dollars()/(50*730*3600*0.2005*0.0000166667), 0.05)
}

func TestWhatDoesNotFitIsSaid(t *testing.T) {
	s := service(t, 5, 2, day)
	s.Latency, s.ResponseBytes = time.Minute, 2<<20
	r, byWay := bills(t, s)
	require.Contains(t, byWay[byALB].Unfit, "at most 1 MB")
	require.Contains(t, byWay[byAPI].Unfit, "at most 30 s")
	require.Empty(t, byWay[byURL].Unfit)
	require.NotEmpty(t, r.Bills[5].Unfit, "what fits comes first")
	require.Empty(t, r.Bills[1].Unfit)
}

// Servers that need a quarter of an hour to follow stand ready for a peak that comes every ten minutes.
func TestServersStandReadyForQuickPeaks(t *testing.T) {
	total := func(period time.Duration) estimate.Money {
		s := service(t, 100, 8, period)
		_, byWay := bills(t, s)
		return byWay["Fargate alone"].Sum(estimate.Compute)
	}
	require.Greater(t, total(10*time.Minute).Dollars(), 4*total(day).Dollars())
}

func TestNetworksAndLayouts(t *testing.T) {
	s := service(t, 50, 2, day)
	_, vpc := bills(t, s)
	s.Network, s.OutboundBytes = estimate.NetworkNAT, 1<<20
	_, nat := bills(t, s)
	gb := 50.0 * 730 * 3600 / 1024
	natCost := 2*730*0.045 + gb*0.045 + 2*730*0.005
	require.InDelta(t, natCost, (nat[byURL].Total - vpc[byURL].Total).Dollars(), 0.05)
	s.Network, s.OutboundBytes = estimate.NetworkPublic, 0
	_, public := bills(t, s)
	// All bytes are charged in both directions, not half of them.
	body := 11_000 * 50.0 * 730 * 3600 / (1 << 30)
	require.InDelta(t, body*0.01, (public[estimate.Ours].Total - vpc[estimate.Ours].Total).Dollars(), 0.05)
	s.Network, s.Layout, s.Balancer = estimate.NetworkVPC, estimate.Small, estimate.NoBalancer
	_, small := bills(t, s)
	require.Less(t, small[estimate.Ours].Sum(estimate.Front), vpc[estimate.Ours].Sum(estimate.Front))
	require.Zero(t, small[estimate.Ours].Sum(estimate.Entry))
}

func TestFreeTierAndDiscounts(t *testing.T) {
	s := service(t, 0.3, 1, day)
	s.Latency, s.Init = 100*time.Millisecond, 0
	s.FreeTier = true
	_, free := bills(t, s)
	require.Zero(t, free[byURL].Sum(estimate.Compute))
	s.FreeTier, s.Discounts = false, estimate.Discounts{Lambda: 0.1, Fargate: 0.2, EC2: 0.5}
	_, less := bills(t, s)
	s.Discounts = estimate.Discounts{}
	_, full := bills(t, s)
	require.InEpsilon(t, 0.8*full["Fargate alone"].Sum(estimate.Compute).Dollars(), less["Fargate alone"].Sum(estimate.Compute).Dollars(), 0.01)
	require.Less(t, less["Lambda Managed Instances, ALB"].Total, full["Lambda Managed Instances, ALB"].Total)
	require.Less(t, less[byURL].Total, full[byURL].Total)
}

func TestBadServicesAreNamed(t *testing.T) {
	s := service(t, 1, 1, day)
	s.CPU, s.MemoryMB, s.Latency, s.Layout, s.PerConnection, s.Concurrency = 1.5, 64, 0, "huge", 0, 0
	_, err := estimate.Estimate(s, prices(t))
	for _, flag := range []string{"--cpu: ", "--memory: ", "--latency: ", `--layout: must be one of small, split, got "huge"`, "--requests-per-connection: ", "--concurrency: "} {
		require.ErrorContains(t, err, flag)
	}
	_, err = estimate.Estimate(estimate.Default(), prices(t))
	require.ErrorContains(t, err, "traffic: there is none")
	for _, tt := range []struct {
		rate, peak float64
		period     time.Duration
		says       string
	}{
		{0, 1, day, "--rate: "}, {1, 0.5, day, "--peak: "}, {1e6, 2, day, "--peak: "}, {1, 2, time.Second, "--period: "},
	} {
		_, err := estimate.Wave(tt.rate, tt.peak, tt.period)
		require.ErrorContains(t, err, tt.says)
	}
}

func TestTheTableAndTheJSONSayTheSame(t *testing.T) {
	r, _ := bills(t, service(t, 20, 4, day))
	var table, text bytes.Buffer
	require.NoError(t, r.Table(&table))
	require.NoError(t, r.JSON(&text))
	var out struct {
		Bills []struct {
			Way   string  `json:"way"`
			Total float64 `json:"total_dollars"`
		} `json:"bills"`
		Verdict  estimate.Verdict `json:"verdict"`
		Warnings []string         `json:"warnings"`
	}
	require.NoError(t, json.Unmarshal(text.Bytes(), &out))
	for k, b := range r.Bills {
		require.Equal(t, b.Way, out.Bills[k].Way)
		require.Equal(t, b.Total.Dollars(), out.Bills[k].Total)
		require.Contains(t, table.String(), b.Total.String())
	}
	require.Contains(t, table.String(), out.Verdict.Sentence)
	for _, warning := range out.Warnings {
		require.Contains(t, table.String(), warning)
	}
	require.Contains(t, table.String(), "Not confirmed by a source that could be read")
}

// A request ends with the invocation that serves it. Where some outlast it the bills stand and it is said; where many do there are none.
func TestRequestsThatOutlastTheirInvocation(t *testing.T) {
	s := service(t, 0.33, 3, day)
	s.Latency = 250 * time.Second
	r, _ := bills(t, s)
	require.InDelta(t, 0.006, r.Served.Cut, 0.003)
	require.Contains(t, strings.Join(r.Warnings, "\n"), "% of the requests would be cut off: they last longer than the invocation that serves them")

	s.Latency = 15 * time.Minute
	_, err := estimate.Estimate(s, prices(t))
	require.ErrorContains(t, err, "% of the requests would be cut off")

	s.Latency = time.Minute
	r, _ = bills(t, s)
	require.NotContains(t, strings.Join(r.Warnings, "\n"), "cut off")
}
