package e2e_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Scenario 32, for money: under a load that wants twenty instances, there are as many as the ceiling pays for, the
// operator is told why, and every request is served by those.
func TestACeilingInDollarsHoldsUnderLoad(t *testing.T) {
	f := controlplanetest.App(t, "web", controlplanetest.Library)
	one := config.Default().Pricing.Rates(f.Lambda.Architecture).PerHour(f.Local.MemoryMB)
	f.Lambda.MemoryMB = f.Local.MemoryMB
	f.Scaling.Min, f.Scaling.Concurrency, f.Scaling.DollarsPerHour = 0, 1, 2.5*one
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})

	l := startLoad(t, s, 20, endless, "/web/sleep?ms=20")
	s.Eventually("held back", func() error {
		if f := s.Function("web"); f.Ready != 2 || f.Blocked != "dollars" {
			return fmt.Errorf("%d ready, blocked by %q", f.Ready, f.Blocked)
		}
		return nil
	})
	require.Contains(t, s.Function("web").BlockedDetail, "scaling.dollars_per_hour")
	require.InDelta(t, 2*one, s.Function("web").Bill.DollarsPerHour, 1e-9)
	requireServed(t, l.stop())
	require.Equal(t, 2, s.Lambda.Counters("web").Started)
}
