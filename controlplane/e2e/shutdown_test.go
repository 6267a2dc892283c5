package e2e_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

const shutdownConcurrency = 8

// Scenario 6: Lambda ends an environment, or its peer gets SIGTERM. Nothing new is sent there, what is short finishes,
// what is long fails fast, and nobody else notices. That the pool takes the instance out in the very step in which it
// hears of the drain is dispatch's to prove; here it is logged how long all of the way takes.
func TestAShutdownInTheFunction(t *testing.T) {
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency, f.Scaling.Min = shutdownConcurrency, 2
	})
	for how, end := range map[string]func(*testing.T, lambdalocal.Environment){
		"shutdown": func(t *testing.T, e lambdalocal.Environment) { require.True(t, s.Lambda.Retire(e.ID)) },
		"sigterm": func(t *testing.T, e lambdalocal.Environment) {
			require.NoError(t, syscall.Kill(e.PIDs[0], syscall.SIGTERM))
		},
	} {
		t.Run(how, func(t *testing.T) {
			forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) { shutdownOne(t, s, name, end) })
		})
	}
}

func shutdownOne(t *testing.T, s *controlplanetest.Stack, name string, end func(*testing.T, lambdalocal.Environment)) {
	eventuallyReady(s, name, 2)
	const more = shutdownConcurrency + 2 // requests than one instance takes: two are on the other one
	long := startLoad(t, s, more, more, "/"+name+"/sleep?ms=60000")
	eventuallyUsed(s, name, more, 0)
	serving := slices.DeleteFunc(s.Instances(name), func(i operator.Instance) bool { return i.InFlight == 0 })
	require.Len(t, serving, 2)
	short := startLoad(t, s, 4, endless, "/"+name+"/sleep?ms=20")
	eventuallySent(s, short, 50)
	victim := busiest(t, s, name)
	environment := environmentOf(t, s, victim)
	require.NotEmpty(t, environment.PIDs)

	began := time.Now()
	end(t, environment)
	s.EventuallyWithin(10*time.Second, "out of the pool", func() error {
		for _, i := range s.Instances(name) {
			if i.ID == victim.ID && i.State == "ready" {
				return fmt.Errorf("instance %s is ready", i.ID)
			}
		}
		return nil
	})
	t.Logf("out of the pool after %v", time.Since(began).Round(time.Millisecond))
	s.EventuallyWithin(10*time.Second, "its long requests ended", func() error {
		if len(long.soFar()) == 0 {
			return fmt.Errorf("none has")
		}
		return nil
	})
	t.Logf("its long requests ended after %v", time.Since(began).Round(time.Millisecond))
	eventuallySent(s, short, 50)
	requireServedOrLost(t, withoutDeadApps(t, short.stop()), shutdownConcurrency)
	requireServedOrLost(t, long.soFar(), shutdownConcurrency)
	s.Eventually("two ready again, and it has ended", func() error {
		if f := s.Function(name); f.Ready != 2 || stateOf(s, name, victim.ID) != "" {
			return fmt.Errorf("%d ready, %d starting, %d down, ends: %v", f.Ready, f.Starting, f.Down, f.Ends)
		}
		return nil
	})
	for _, i := range serving { // one that was started for requests that waited may have ended again
		if i.ID != victim.ID {
			require.Equal(t, "ready", stateOf(s, name, i.ID))
		}
	}
	t.Logf("ends: %v", s.Function(name).Ends)
	long.leave()
	eventuallyUsed(s, name, 0, 0)
}

// withoutDeadApps leaves out the requests that a peer answered for an app that had ended before it: the plain app gets
// its SIGTERM first, and until the peer is told, what it is sent fails fast.
func withoutDeadApps(t *testing.T, results []result) []result {
	t.Helper()
	rest := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.failure() == appIsDead })
	t.Logf("%d of %d requests met an app that had ended", len(results)-len(rest), len(results))
	return rest
}
