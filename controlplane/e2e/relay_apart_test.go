package e2e_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A relay of its own that is restarted costs what was in flight: instances dial the new one and serve on.
func TestARelayThatIsRestartedIsDialledAgain(t *testing.T) {
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
		s.RestartRelay()
		s.Eventually("both are back", ready)
		load := startLoad(t, s, 4, 40, "/app/sleep?ms=20")
		requireServed(t, load.wait())
	}
	// While they are lost others may start, which are surplus when they are back.
	for reason := range s.Function("app").Ends {
		require.Equal(t, string(wire.ReasonScaleIn), reason)
	}
}
