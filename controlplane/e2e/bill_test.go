package e2e_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// The bill is Lambda's to the millisecond: what ended well, what crashed, and what was cold.
func TestTheBillIsLambdas(t *testing.T) {
	t.Parallel()
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Min = 0
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		client := controlplanetest.Client(t, controlplanetest.HTTP1)
		for range 2 {
			requireServed(t, startLoad(t, s, 20, 60, "/"+name+"/sleep?ms=50").wait())
			eventuallyReady(s, name, 0)
		}
		_ = fetch(t.Context(), client, s.URL("/"+name+"/exit?after=0")) // the app's process dies
		s.Eventually("every invocation is billed", func() error {
			if f, c := s.Function(name), s.Lambda.Counters(name); int(f.Bill.Invocations) != c.Started || f.Bill.Running > 0 {
				return fmt.Errorf("%d of %d, %d running", f.Bill.Invocations, c.Started, f.Bill.Running)
			}
			return nil
		})
		b, c := s.Function(name).Bill, s.Lambda.Counters(name)
		ledger := s.Lambda.Ledger().Functions
		account := ledger[slices.IndexFunc(ledger, func(a lambdalocal.Account) bool { return a.Function == name })]
		require.EqualValues(t, c.Started, account.Invoke.Requests)
		require.InEpsilon(t, account.Invoke.GBSeconds, b.GBSeconds, 0.001)
		require.InEpsilon(t, account.Invoke.Dollars, b.Dollars, 0.001)
		require.Zero(t, b.Estimated)
		require.InDelta(t, float64(c.BilledMs), 1000*b.BilledSeconds, 1e-6)
		require.InDelta(t, b.BilledSeconds*float64(b.MemoryMB)/1024, b.BilledGBSeconds, 1e-9)
		require.InDelta(t, b.BilledGBSeconds*0.0000166667+float64(c.Started)*0.20/1e6, b.Dollars, 1e-12)

		require.EqualValues(t, 121, b.Plain.Requests)
		require.GreaterOrEqual(t, b.Plain.BilledSeconds, 120*0.05)
		require.GreaterOrEqual(t, int(b.Plain.ColdStarts), 10, "an instance had ten requests in flight")
		t.Logf("%d invocations, %.6f dollars; plain Lambda: %d cold starts, %.6f dollars", c.Started, b.Dollars, b.Plain.ColdStarts, b.Plain.Dollars)
	})
}
