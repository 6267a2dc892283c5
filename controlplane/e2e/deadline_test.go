package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// Scenario 4: short timeouts of functions. Longer ones differ in numbers only, which the test of dispatch's plan holds.
// The subtests mostly wait, so they wait together.
func TestLongRequestsEndBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	timeout := func(name string, peer controlplanetest.Peer, d time.Duration) controlplanetest.Function {
		f := controlplanetest.App(t, name, peer)
		f.Lambda.Timeout, f.Local.Timeout = d, d
		f.Scaling.Min = 1 // what ends an instance is its deadline, not a moment without a request
		return f
	}
	library3 := timeout("library-3s", controlplanetest.Library, 3*time.Second)
	binary3 := timeout("binary-3s", controlplanetest.Binary, 3*time.Second)
	library15 := timeout("library-15s", controlplanetest.Library, 15*time.Second)
	binary15 := timeout("binary-15s", controlplanetest.Binary, 15*time.Second)
	slow3 := timeout("slow-init-3s", controlplanetest.Library, 3*time.Second) // no timeout counts Lambda's init
	slow3.Local.Env[contract.StartDelayVariable] = "3500"
	kept := timeout("kept", controlplanetest.Library, 3*time.Second)
	mistaken := timeout("mistaken", controlplanetest.Library, 3*time.Second) // Lambda cuts sooner than was configured
	mistaken.Lambda.Timeout = config.DefaultFunction().Lambda.Timeout
	s := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{library3, binary3, library15, binary15, slow3, kept, mistaken},
	})
	// Each allowed request is as long as the margin lets it be: a third of the timeout, less what the peer keeps to itself.
	for _, c := range []struct {
		function  string
		timeout   time.Duration
		request   time.Duration
		rotations int
	}{
		{"library-3s", 3 * time.Second, 500 * time.Millisecond, 3},
		{"binary-3s", 3 * time.Second, 500 * time.Millisecond, 3},
		{"slow-init-3s", 3 * time.Second, 500 * time.Millisecond, 1},
		{"library-15s", 15 * time.Second, 4 * time.Second, 1},
		{"binary-15s", 15 * time.Second, 4 * time.Second, 1},
	} {
		t.Run(c.function, func(t *testing.T) {
			t.Parallel()
			before := s.Lambda.Counters(c.function).Ended
			l := startLoad(t, s.In(t), 5, endless, fmt.Sprintf("/%s/sleep?ms=%d", c.function, c.request.Milliseconds()))
			eventuallyEnded(t, s.In(t), c.function, before+c.rotations)
			requireServed(t, l.stop())
			requireNoLoop(t, s, c.function, c.timeout)
		})
	}
	for _, function := range []string{"kept", "mistaken"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			eventuallyEnded(t, s.In(t), function, 2) // without any traffic
			requireNoLoop(t, s, function, 3*time.Second)
		})
	}
}

// eventuallyEnded waits until so many invocations have returned.
func eventuallyEnded(t *testing.T, s *controlplanetest.Stack, function string, n int) {
	t.Helper()
	s.EventuallyWithin(time.Minute, fmt.Sprint(n, " invocations returned"), func() error {
		if c := s.Lambda.Counters(function); c.Ended < n {
			return fmt.Errorf("%d have", c.Ended)
		}
		return nil
	})
}

// requireNoLoop expects that an invocation lasts for a good part of the function's timeout before the next follows, and
// that it is answered before that timeout.
func requireNoLoop(t *testing.T, s *controlplanetest.Stack, function string, timeout time.Duration) {
	t.Helper()
	c := s.Lambda.Counters(function)
	t.Logf("%s: %+v", function, c)
	require.Zero(t, c.Outcomes[lambdalocal.TimedOut])
	require.Equal(t, c.Ended, c.Outcomes[lambdalocal.Succeeded])
	mean := time.Duration(c.BilledMs/c.Ended) * time.Millisecond
	require.Greater(t, mean, timeout/3)
	require.LessOrEqual(t, c.Started-c.Ended, 2, "the one that serves, and its replacement")
}
