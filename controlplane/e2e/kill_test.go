package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// Scenario 25: peers are killed in the middle of requests. What they had in flight fails, with a status that says so;
// nothing else does, and the pool knows soon.
func TestLongKilledPeersTakeOnlyTheirOwnRequestsAlong(t *testing.T) {
	const requests, clients, concurrency, kills = 2500, 24, 8, 3 // with each kind of peer
	s := startBoth(t, func(f *controlplanetest.Function) { f.Scaling.Concurrency, f.Scaling.Min = concurrency, 3 })
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		l := startLoad(t, s, clients, requests, "/"+name+"/sleep?ms=20")
		atRisk := 0
		for n := range kills {
			s.Eventually("load", func() error {
				if f, sent := s.Function(name), l.sent.Load(); f.Ready < 3 || sent < int64((n+1)*requests/(kills+1)) {
					return fmt.Errorf("%d ready, %d sent", f.Ready, sent)
				}
				return nil
			})
			atRisk += killOne(t, s, name)
		}
		results := l.wait()
		t.Logf("%d were leased to the killed", atRisk)
		requireServedOrLost(t, results, 2*kills*concurrency) // their own, and what was sent there before the pool knew
		require.Len(t, results, requests)
		s.Eventually("nothing in flight", func() error {
			if f := s.Function(name); f.InFlight+f.QueueDepth > 0 {
				return fmt.Errorf("%d in flight, %d queued", f.InFlight, f.QueueDepth)
			}
			return nil
		})
	})
}

// killOne kills the peer of an instance that has requests, waits until the pool knows, and returns how many it had.
func killOne(t *testing.T, s *controlplanetest.Stack, name string) (inFlight int) {
	t.Helper()
	victim := busiest(t, s, name)
	pids := environmentOf(t, s, victim).PIDs
	require.NotEmpty(t, pids)
	require.NoError(t, syscall.Kill(pids[0], syscall.SIGKILL)) // the peer: the extension, or the app with the library
	began := time.Now()
	eventuallyDown(s, name, victim.ID)
	t.Logf("out of the pool after %v", time.Since(began).Round(time.Millisecond))
	return victim.InFlight
}
