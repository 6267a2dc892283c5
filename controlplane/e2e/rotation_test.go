package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// rotating runs functions whose instances are rotated as if Lambda ended them after the timeout. It does not, so that a
// busy machine fails no test; the test of deadlines has real ones.
func rotating(t *testing.T, timeout time.Duration) *controlplanetest.Stack {
	return startBoth(t, func(f *controlplanetest.Function) {
		f.Lambda.Timeout = timeout
		f.Scaling.Min = 1
		f.Scaling.Concurrency = 40
	})
}

// Scenario 5: the replacement serves before the old instance stops, so that no request fails and p99 does not rise: fewer
// than one in a hundred requests wait for a slot at all.
func TestLongRotationUnderLoad(t *testing.T) {
	const rotations = 4
	s := rotating(t, 4*time.Second)
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		eventuallyReady(s, name, 1)
		before := s.Function(name)
		ended := s.Lambda.Counters(name).Ended
		l := startLoad(t, s, 10, endless, "/"+name+"/sleep?ms=20")
		eventuallyEnded(t, s, name, ended+rotations)
		results := l.stop()
		requireServed(t, results)
		after := s.Function(name)
		atOnce := after.QueueWait.Counts[0] - before.QueueWait.Counts[0]
		require.Less(t, len(results)-int(atOnce), max(1, len(results)/100), "requests that waited for a slot")
		logLatency(t, results)
	})
}

// Scenario 28: instances rotate every second for ten thousand requests, half of them to each kind of peer.
func TestLongRotationEverySecond(t *testing.T) {
	const rotations, requests = 6, 5000 // of each kind of peer
	s := rotating(t, 2*time.Second)
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		began := time.Now()
		eventuallyReady(s, name, 1)
		before := s.Lambda.Counters(name).Ended
		l := startLoad(t, s, 20, endless, "/"+name+"/sleep?ms=20")
		eventuallyEnded(t, s, name, before+rotations)
		s.EventuallyWithin(2*time.Minute, "requests", func() error {
			if sent := l.sent.Load(); sent < requests {
				return fmt.Errorf("%d were sent", sent)
			}
			return nil
		})
		results := l.stop()
		requireServed(t, results)
		c := s.Lambda.Counters(name)
		t.Logf("%d invocations returned in %v", c.Ended-before, time.Since(began).Round(time.Millisecond))
		require.Zero(t, c.Errors)
		logLatency(t, results)
	})
}

func logLatency(t *testing.T, results []result) {
	var took []time.Duration
	for _, r := range results {
		took = append(took, r.took)
	}
	slices.Sort(took)
	n := len(took)
	t.Logf("%d requests: p50 %v, p99 %v, most %v", n, took[n/2], took[n*99/100], took[n-1])
}
