package environment

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFailedInitIsToldWithTheLastOfItsOutput(t *testing.T) {
	s := newStage(t, func(c *Config) {
		c.Command = []string{"sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11; do echo $i; done; exit 3"}
	})
	s.Init(context.Background())
	const output = `"2\n3\n4\n5\n6\n7\n8\n9\n10\n11"`
	require.Equal(t, []string{"web: init failed: Runtime.ExitError: Runtime exited with error: exit status 3: " + output}, s.log.takeWarnings())
	<-s.invoke(Invocation{})
	require.Equal(t, []string{"web: invocation failed: Runtime.ExitError: Runtime exited with error: exit status 3: " + output}, s.log.takeWarnings())
	s.Shutdown(Failed)
	require.Empty(t, s.log.takeWarnings(), "each failure is told once")
}

func TestACommandThatDoesNotExistIsTold(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Command = []string{"./nowhere"} })
	s.Init(context.Background())
	told := s.log.takeWarnings()
	require.Len(t, told, 1)
	require.Contains(t, told[0], `web: init failed: Runtime.InvalidEntrypoint: start "./nowhere": `)
}

func TestATimeoutIsTold(t *testing.T) {
	s, result := running(t, Invocation{}, func(c *Config) {
		c.Timeout, c.Command = 50*time.Millisecond, []string{"sh", "-c", "echo busy; exec sleep 1000"}
	})
	<-result
	s.Shutdown(Timeout)
	require.Equal(t, []string{`web: invocation failed: Sandbox.Timedout: Task timed out after 0.05 seconds: "busy"`}, s.log.takeWarnings())
}

func TestTheEndOfAnIdleEnvironmentIsTold(t *testing.T) {
	s, _ := ready(t, nil)
	s.Environment.Kill()
	s.Shutdown(Spindown)
	require.Equal(t, []string{`web: environment failed: Runtime.ExitError: Runtime exited with error: signal: killed: ""`}, s.log.takeWarnings())
}

func TestAnEndInPeaceIsNoWarning(t *testing.T) {
	s, result := running(t, Invocation{}, nil)
	s.call("POST", idPath+"response", nil, `{}`)
	s.next()
	require.Equal(t, Succeeded, (<-result).Outcome)
	s.Shutdown(Spindown)

	s, _ = ready(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.Equal(t, Interrupted, s.Invoke(ctx, Invocation{ID: "id-1"}).Outcome)
	s.Shutdown(Spindown)
	require.Empty(t, s.log.takeWarnings(), "it was told to end")
}
