package optimum_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/optimum"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// few draws requests at whole nanoseconds, so that every schedule can be tried.
func few(t *rapid.T, most int) []workload.Request {
	var out []workload.Request
	for range rapid.IntRange(1, most).Draw(t, "requests") {
		out = append(out, workload.Request{
			At:      time.Duration(rapid.IntRange(0, 12).Draw(t, "at")),
			Service: time.Duration(rapid.IntRange(1, 8).Draw(t, "service")),
		})
	}
	return out
}

func costs(t *rapid.T) optimum.Costs {
	return optimum.Costs{Slots: rapid.IntRange(1, 3).Draw(t, "slots"), Start: time.Duration(rapid.IntRange(0, 6).Draw(t, "start"))}
}

// moving finds the least cost of all numbers of instances over time: requests may move.
func moving(requests []workload.Request, c optimum.Costs) time.Duration {
	const horizon, most = 21, 8
	cost := [most + 1]int{}
	for n := 1; n <= most; n++ {
		cost[n] = math.MaxInt / 2
	}
	for at := range horizon {
		inFlight := 0
		for _, r := range requests {
			if int(r.At) <= at && at < int(r.At+r.Service) {
				inFlight++
			}
		}
		next := [most + 1]int{}
		for n := range next {
			next[n] = math.MaxInt / 2
			for before := range cost {
				if n*c.Slots >= inFlight {
					next[n] = min(next[n], cost[before]+n+max(0, n-before)*int(c.Start))
				}
			}
		}
		cost = next
	}
	return time.Duration(cost[0])
}

func TestLeastIsTheOptimumWhereRequestsMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests, c := few(t, 8), costs(t)
		require.Equal(t, moving(requests, c), optimum.Least(requests, c).Billed)
	})
}

// staying finds the least cost of all ways to put requests on instances, where they stay.
func staying(requests []workload.Request, c optimum.Costs) time.Duration {
	best := time.Duration(math.MaxInt64)
	var groups [][]workload.Request
	var try func(k int)
	try = func(k int) {
		if k == len(requests) {
			var sum time.Duration
			for _, g := range groups {
				sum += alone(g, c.Start)
			}
			best = min(best, sum)
			return
		}
		for n := range groups {
			if groups[n] = append(groups[n], requests[k]); fits(groups[n], c.Slots) {
				try(k + 1)
			}
			groups[n] = groups[n][:len(groups[n])-1]
		}
		groups = append(groups, []workload.Request{requests[k]})
		try(k + 1)
		groups = groups[:len(groups)-1]
	}
	try(0)
	return best
}

func fits(requests []workload.Request, slots int) bool {
	for _, a := range requests {
		n := 0
		for _, b := range requests {
			if b.At <= a.At && a.At < b.At+b.Service {
				n++
			}
		}
		if n > slots {
			return false
		}
	}
	return true
}

// alone is what one environment bills, which stays up or starts again, whatever is cheaper.
func alone(requests []workload.Request, start time.Duration) time.Duration {
	return optimum.Least(requests, optimum.Costs{Slots: len(requests), Start: start}).Billed
}

func TestTheOptimumWhereRequestsStayIsBetween(t *testing.T) {
	var packed, best float64
	rapid.Check(t, func(t *rapid.T) {
		requests, c := few(t, 7), costs(t)
		optimal := staying(requests, c)
		require.LessOrEqual(t, optimum.Least(requests, c).Billed, optimal)
		p := optimum.Packed(requests, c).Billed
		require.GreaterOrEqual(t, p, optimal)
		packed, best = packed+float64(p), best+float64(optimal)
	})
	require.Less(t, packed, 1.1*best, "and not far from it, in the mean")
}

// With many requests the two lie close together, so that either tells what is possible.
func TestTheBracketIsNarrow(t *testing.T) {
	w := workload.Steady("steady", 5*time.Minute, 100, workload.Exponential(time.Second)).Make(1)
	c := optimum.Costs{Slots: 10, Start: 25 * time.Millisecond}
	least, packed := optimum.Least(w.Requests, c), optimum.Packed(w.Requests, c)
	t.Log(float64(packed.Billed)/float64(least.Billed), least.Starts, packed.Starts)
	require.Greater(t, least.Billed, w.Bound(10))
	require.Less(t, packed.Billed, least.Billed*108/100)
}
