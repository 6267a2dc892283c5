package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// An app that answers and works on is stopped by a freeze. With a linger, its instance is kept until the work is done, serves
// meanwhile, and is billed; without, the work waits for whatever thaws the environment.
func TestWorkAfterAnAnswerIsDoneBeforeTheFreeze(t *testing.T) {
	t.Parallel()
	const linger, work = 2 * time.Second, "1500"
	var o controlplanetest.Options
	for _, peer := range controlplanetest.Peers {
		f := siteApp(t, string(peer), peer)
		f.Scaling.Linger = linger
		o.Functions = append(o.Functions, f)
	}
	o.Functions = append(o.Functions, siteApp(t, "hasty", controlplanetest.Binary))
	for n := range o.Functions {
		o.Functions[n].Scaling.Min = 0
	}
	events := keepJournal(t, &o)
	stack := controlplanetest.Start(t, o)
	for _, peer := range controlplanetest.Peers {
		t.Run(string(peer), func(t *testing.T) {
			s := newSite(t, stack, string(peer), controlplanetest.HTTP1)
			require.Equal(t, http.StatusOK, s.get("/after?work="+s.name+"&ms="+work).StatusCode)
			for range 3 {
				require.Equal(t, http.StatusOK, s.get("/sleep?ms=100").StatusCode)
			}
			require.EqualValues(t, 1, s.Function(s.name).Starts, "the instance that is kept serves")
			answered := time.Now()
			eventuallyFrozen(stack, s.name)
			require.GreaterOrEqual(t, time.Since(answered), linger-200*time.Millisecond)
			require.Equal(t, []contract.Name{contract.Finished}, events.names(t, s.name))
			require.Equal(t, 1, stack.Lambda.Counters(s.name).Started)
			require.GreaterOrEqual(t, stack.Lambda.Counters(s.name).BilledMs, int((linger + 300*time.Millisecond).Milliseconds()))
		})
	}
	t.Run("without", func(t *testing.T) {
		s := newSite(t, stack, "hasty", controlplanetest.HTTP1)
		require.Equal(t, http.StatusOK, s.get("/after?work=hasty&ms="+work).StatusCode)
		eventuallyFrozen(stack, s.name)
		eventuallyPassed(s.Stack, 2*time.Second)
		require.Empty(t, events.names(t, "hasty"), "or else this test shows nothing")
		require.Equal(t, http.StatusOK, s.get("/hello").StatusCode)
		events.eventually(s, "hasty", contract.Finished) // in somebody else's time
	})
}
