package ledger

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var list = Prices{MillionRequests: 0.20, GBSecondX86: 0.0000166667, GBSecondARM: 0.0000133334, ManagedRequests: 0.30, ManagedFee: 0.15}

func TestAMillionRequestsAtListPrice(t *testing.T) {
	for architecture, want := range map[Architecture]float64{X86: 0.20 + 1e6*0.1*0.0000166667, ARM: 0.20 + 1e6*0.1*0.0000133334} {
		l := New(list)
		b := l.Open("web", architecture, 1024)
		for range 1_000_000 {
			b.Add(Invoke, 1024, 100*time.Millisecond, 0)
		}
		e := l.Statement().Functions[0].Invoke
		require.InEpsilon(t, 100_000, e.GBSeconds, 1e-12)
		require.InEpsilon(t, want, e.Dollars, 1e-12, architecture)
	}
}

func TestFrontsAreApartAndAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := New(list)
		memory := rapid.SampledFrom([]int{128, 512, 10240}).Draw(t, "memory")
		b := l.Open("web", X86, memory)
		want := map[Front]int64{}
		fronts := rapid.SliceOf(rapid.SampledFrom([]Front{Invoke, Direct})).Draw(t, "fronts")
		for _, front := range fronts {
			ms := rapid.Int64Range(1, 900_000).Draw(t, "ms")
			b.Add(front, memory, time.Duration(ms)*time.Millisecond, time.Millisecond)
			want[front] += ms
		}
		a := l.Statement().Functions[0]
		require.Equal(t, want[Invoke], a.Invoke.BilledMs)
		require.Equal(t, want[Direct], a.Direct.BilledMs)
		require.Equal(t, want[Invoke]+want[Direct], a.Total.BilledMs)
		require.EqualValues(t, len(fronts), a.Total.Requests)
		require.EqualValues(t, len(fronts), a.Total.InitMs)
		require.InDelta(t, a.Invoke.Dollars+a.Direct.Dollars, a.Total.Dollars, 1e-9)
		require.InDelta(t, a.Total.Dollars, l.Statement().Dollars, 1e-9)
	})
}

// A new version may have more memory than the old one, which serves on.
func TestEachInvocationIsBilledWithItsOwnMemory(t *testing.T) {
	l := New(list)
	b := l.Open("web", X86, 1024)
	b.Add(Invoke, 1024, time.Second, 0)
	b.Add(Invoke, 3072, time.Second, 0)
	a := l.Statement().Functions[0]
	require.InDelta(t, 4, a.Total.GBSeconds, 1e-9)
	require.Equal(t, 3072, a.MemoryMB)
}

func TestTheTable(t *testing.T) {
	l := New(list)
	l.Open("unused", X86, 128)
	b := l.Open("web", ARM, 1024)
	b.Add(Invoke, 1024, 1500*time.Millisecond, 0)
	b.Add(Direct, 1024, 20*time.Millisecond, 0)
	var out strings.Builder
	require.NoError(t, l.Statement().Print(&out))
	require.Equal(t, ""+
		"  function   front  requests  billed ms   GB-s     dollars\n"+
		"       web  invoke         1       1500  1.500  0.00002020\n"+
		"       web  direct         1         20  0.020  0.00000047\n"+
		"     total                                      0.00002067\n", out.String())
}

// EC2 instances cost from when they come until they go, at their number, and requests what they do there.
func TestInstancesAreHiredByTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(list)
		b := l.Open("web", X86, 2048)
		b.Hire(time.Now(), 3, 0.1)
		time.Sleep(time.Hour)
		b.Hire(time.Now(), 1, 0.1)
		time.Sleep(2 * time.Hour)
		for range 1_000_000 {
			b.Add(Direct, 2048, 0, 0)
		}
		a := l.Statement().Functions[0]
		require.Equal(t, 1, a.Managed.Instances)
		require.InDelta(t, 5*3600, a.Managed.InstanceSeconds, 1e-6)
		require.InDelta(t, 0.5, a.Managed.InstanceDollars, 1e-9)
		require.InDelta(t, 0.075, a.Managed.FeeDollars, 1e-9)
		require.InDelta(t, 0.575+0.30, a.Total.Dollars, 1e-9)
		var out strings.Builder
		require.NoError(t, l.Statement().Print(&out))
		require.Contains(t, out.String(), "web     ec2             18000000         0.57500000")
	})
}
