package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// startLinked is startBoth with a link between environments and relay.
func startLinked(t *testing.T, tune func(*controlplanetest.Function)) *controlplanetest.Stack {
	t.Helper()
	o := controlplanetest.Options{Linked: true}
	for _, peer := range controlplanetest.Peers {
		f := controlplanetest.App(t, string(peer), peer)
		tune(&f)
		o.Functions = append(o.Functions, f)
	}
	return controlplanetest.Start(t, o)
}

// addFault sets a fault until the function that it returns is called, or the test ends.
func addFault(t *testing.T, s *controlplanetest.Stack, f lambdalocal.Fault) (remove func()) {
	t.Helper()
	id, err := s.Lambda.AddFault(f)
	require.NoError(t, err)
	remove = func() { s.Lambda.RemoveFault(id) }
	t.Cleanup(remove)
	return remove
}

// Scenario 25: the network of one instance goes silent, or its connections are reset, in the middle of requests. What it
// had in flight fails, with a status that says so; nothing else does, the pool knows soon, and is whole again.
func TestAnInstanceLosesItsNetwork(t *testing.T) {
	const concurrency = 8
	s := startLinked(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.IdleAfter = concurrency, 2, time.Minute
	})
	for _, kind := range []lambdalocal.FaultKind{lambdalocal.FaultLinkReset, lambdalocal.FaultLinkSilence} {
		t.Run(string(kind), func(t *testing.T) {
			forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
				eventuallyReady(s, name, 2)
				held := startLoad(t, s, concurrency+2, concurrency+2, "/"+name+"/sleep?ms=60000")
				s.Eventually("in flight on both", func() error {
					for _, i := range s.Instances(name) {
						if i.Reported == 0 {
							return fmt.Errorf("%d by lease, %d by the peer's count", i.InFlight, i.Reported)
						}
					}
					return nil
				})
				busy := busiest(t, s, name)
				others := startLoad(t, s, 4, endless, "/"+name+"/sleep?ms=10")
				eventuallySent(s, others, 50)

				began := time.Now()
				heal := addFault(t, s, lambdalocal.Fault{Kind: kind, Environment: environmentID(busy.Environment)})
				s.EventuallyWithin(10*time.Second, "out of the pool", func() error { return outOfThePool(s, name, busy.ID) })
				t.Logf("out of the pool after %v", time.Since(began).Round(time.Millisecond))
				eventuallyLost(t, s, held, busy.InFlight)
				heal()
				eventuallySent(s, others, 50)
				requireServedOrLost(t, others.stop(), concurrency)
				s.Eventually("two ready again", func() error {
					if f := s.Function(name); f.Ready != 2 {
						return fmt.Errorf("%d ready, %d starting, %d down", f.Ready, f.Starting, f.Down)
					}
					return nil
				})
				held.leave()
				eventuallyUsed(s, name, 0, 0)
			})
		})
	}
}

// outOfThePool tells if the instance could still be given a request.
func outOfThePool(s *controlplanetest.Stack, name, id string) error {
	for _, i := range s.Instances(name) {
		if i.ID == id && i.State != "down" {
			return fmt.Errorf("instance %s is %s", i.ID, i.State)
		}
	}
	return nil
}

// eventuallyLost waits until as many of the load's requests as were on the lost instance have ended, all as lost.
func eventuallyLost(t *testing.T, s *controlplanetest.Stack, l *load, n int) {
	t.Helper()
	s.Eventually(fmt.Sprint(n, " ended"), func() error {
		if ended := len(l.soFar()); ended < n {
			return fmt.Errorf("%d have", ended)
		}
		return nil
	})
	results := l.soFar()
	require.Len(t, results, n, "those of the other instance live on")
	requireServedOrLost(t, results, n)
}

// requireServedOrLost fails if more than so many requests were not served, or one for another reason than the loss of
// its instance.
func requireServedOrLost(t *testing.T, results []result, lost int) {
	t.Helper()
	failed := 0
	for _, r := range results {
		if r.served() {
			continue
		}
		failed++
		require.True(t, r.lost(), r)
	}
	require.NotEmpty(t, results)
	require.LessOrEqual(t, failed, lost, "of %d requests", len(results))
	t.Logf("%d of %d requests were lost", failed, len(results))
}
