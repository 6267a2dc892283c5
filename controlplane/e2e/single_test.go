package e2e_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// A control plane that has everything in one process crashes and is started again: what is in flight is cut, and the instances go on.
func TestASingleProcessThatCrashesFindsItsInstances(t *testing.T) {
	f := controlplanetest.App(t, "app", controlplanetest.Library)
	f.Scaling.Min, f.Scaling.Max = 2, 10
	s := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{f}, Program: controlplanetest.Build(t, "cmd/lambda-dispatch"),
	})
	both := func() error {
		if s.Function("app").Ready != 2 {
			return errors.New("two are not ready")
		}
		return nil
	}
	s.Eventually("both are ready", both)
	invoked := s.Lambda.Counters("app").Started
	for range 2 {
		s.CrashProgram()
		s.Eventually("both are ready again", both)
		load := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
		load.more(s, 40)
		requireServed(t, load.stop())
	}
	require.Equal(t, invoked, s.Lambda.Counters("app").Started, "nothing is started in their place")

	s.CrashProgram()
	s.Eventually("both are ready again", both)
	s.StopControlPlane() // nobody waits until drain_timeout for what may run on them
}
