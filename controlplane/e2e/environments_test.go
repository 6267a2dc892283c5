package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// However many requests come at once, and while instances rotate under them, no more environments exist than may, and all
// requests are answered.
func TestLongEnvironmentsAreBounded(t *testing.T) {
	const bound = 3
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.MaxEnvironments, f.Scaling.Max, f.Scaling.Concurrency = bound, 20, 2
		f.Scaling.Preference = config.PreferLatency // which starts most
		f.Lambda.Timeout, f.Local.Timeout = 6*time.Second, 6*time.Second
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		requests := startLoad(t, s, 12, endless, "/"+name+"/sleep?ms=20")
		most := 0
		s.Eventually("rotated under load", func() error {
			most = max(most, len(environments(s, name)))
			if n := s.Lambda.Counters(name).Started; n < 3*bound {
				return fmt.Errorf("%d invocations", n)
			}
			return nil
		})
		results := requests.stop()
		requireServed(t, results)
		eventuallyFrozen(s, name)
		require.LessOrEqual(t, max(most, s.Lambda.Counters(name).Cold), bound)
		require.Equal(t, len(environments(s, name)), s.Function(name).Frozen)
		t.Logf("%d requests, %d invocations in %d environments", len(results), s.Lambda.Counters(name).Started, s.Lambda.Counters(name).Cold)
	})
}
