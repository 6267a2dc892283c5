package e2e_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// A relay of its own that is restarted costs nobody anything whose request takes no longer than it stays for: nothing is sent to it any
// more, what is in flight ends, instances dial the new one and serve on, and no other is started.
func TestARelayThatIsRestartedIsDialledAgain(t *testing.T) {
	t.Parallel()
	f := controlplanetest.App(t, "app", controlplanetest.Library)
	f.Scaling.Min = 2
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}, Apart: true})
	ready := func() error {
		if ready := s.Function("app").Ready; ready != 2 {
			return fmt.Errorf("%d are", ready)
		}
		return nil
	}
	s.Eventually("both are ready", ready)
	for range 2 {
		load := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
		load.more(s, 40)
		s.RestartRelay()
		s.Eventually("both are back", ready)
		load.more(s, 40)
		requireServed(t, load.stop())
	}
	require.Empty(t, s.Function("app").Ends)
	require.Equal(t, 2, s.Lambda.Counters("app").Started)
}

// Relay and leader may end at the same moment, with all that they knew. What the relay has written down brings the instances back, before
// anybody leads again; nothing is invoked in their place.
func TestRelayAndLeaderThatEndTogetherAreFollowed(t *testing.T) {
	s := startApart(t, 10)
	invoked := s.Lambda.Counters("app").Started
	for range 2 {
		load := startLoad(t, s, 4, endless, "/app/sleep?ms=20")
		load.more(s, 40)
		s.Leader.Kill()
		s.RestartRelay()
		load.more(s, 40)
		s.Leader = s.StartControlPlane()
		s.Leader.Leads()
		load.more(s, 40)
		requireServed(t, load.stop())
	}
	require.Equal(t, 2, s.Function("app").Ready)
	require.Equal(t, invoked, s.Lambda.Counters("app").Started)
}
