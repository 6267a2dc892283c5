package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Scenario 1: how apps that need long come up. The slow ones only wait, so they wait together.
func TestLongAppsThatAreNotReadyAtOnce(t *testing.T) {
	t.Parallel()
	late := controlplanetest.App(t, "late", controlplanetest.Binary)
	late.Local.Env[contract.ReadyAfterVariable] = "1500"
	lateLibrary := controlplanetest.App(t, "late-library", controlplanetest.Library)
	lateLibrary.Local.Env[contract.StartDelayVariable] = "1500"
	slow := controlplanetest.App(t, "slow", controlplanetest.Binary)
	slow.Local.Env[contract.ReadyAfterVariable] = "11000"
	slowLibrary := controlplanetest.App(t, "slow-library", controlplanetest.Library)
	slowLibrary.Local.Env[contract.StartDelayVariable] = "1500"
	slowLibrary.Local.InitTimeout = time.Second
	never := controlplanetest.App(t, "never", controlplanetest.Binary)
	never.Local.Env[contract.ReadyAfterVariable] = "600000"
	never.Local.Env["LAMBDA_DISPATCH_PEER_READINESS_TIMEOUT"] = "300ms"
	s := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{late, lateLibrary, slow, slowLibrary, never},
	})
	client := controlplanetest.Client(t, controlplanetest.HTTP1)
	waits := func(function string, unready time.Duration) {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			r := fetch(t.Context(), client, s.URL("/"+function+"/hello"))
			require.True(t, r.served(), r)
			require.GreaterOrEqual(t, r.took, unready, "the app answered before it was ready")
			c := s.Lambda.Counters(function)
			require.Equal(t, 1, c.Started, "the first invocation serves, however long the app needed")
			require.Empty(t, s.In(t).Function(function).StartFailures)
		})
	}
	waits("late", 1500*time.Millisecond)
	waits("late-library", 1500*time.Millisecond)
	waits("slow", 11*time.Second) // Lambda allows init 10 s
	waits("slow-library", 1500*time.Millisecond)
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		neverReady(t, s.In(t), client)
	})
}

// neverReady expects the invocation of an app that does not come up to end, and everybody to be told why.
func neverReady(t *testing.T, s *controlplanetest.Stack, client *http.Client) {
	r := fetch(t.Context(), client, s.URL("/never/hello"))
	require.Equal(t, http.StatusBadGateway, r.status, r)
	require.Equal(t, "app_unhealthy", problemCause(t, r))
	f := s.Function("never")
	require.NotZero(t, f.Ends[string(wire.ReasonAppUnhealthy)], f.Ends)
	require.NotZero(t, f.StartFailures["app_unhealthy"], f.StartFailures)
	require.LessOrEqual(t, s.Lambda.Counters("never").Started, 10, "one request causes few invocations")
}

// problemCause is the cause in a problem document.
func problemCause(t *testing.T, r result) string {
	t.Helper()
	require.NoError(t, r.err)
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"), r)
	var p struct{ Cause string }
	require.NoError(t, json.Unmarshal([]byte(r.body), &p), r)
	return p.Cause
}

// Scenario 2: a peer that reaches no relay ends its invocation with that cause, soon, and its environment lives on.
func TestARelayThatCannotBeReached(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never says a word
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, address := range map[string]string{"silent": silent.Addr().String(), "closed": closed.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o controlplanetest.Options
			for _, peer := range controlplanetest.Peers {
				o.Functions = append(o.Functions, controlplanetest.App(t, string(peer), peer))
			}
			o.Config = func(c *config.Config) { c.Relay.Advertise = address }
			s := controlplanetest.Start(t, o)
			forBoth(t, s, relayUnreachable)
		})
	}
}

func relayUnreachable(t *testing.T, s *controlplanetest.Stack, name string) {
	startLoad(t, s, 1, 1, "/"+name+"/hello") // it waits until the test ends: t's context
	s.Eventually("two invocations ended", func() error {
		if n := s.Function(name).Ends[string(wire.ReasonRelayUnreachable)]; n < 2 {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	c := s.Lambda.Counters(name)
	// The peer gives up after 1.5 s; a machine that stalls bills its stall as well.
	require.Less(t, time.Duration(c.BilledMs/c.Ended)*time.Millisecond, 5*time.Second)
	require.Equal(t, c.Ended, c.Outcomes[lambdalocal.Succeeded], "with a report, not an error")
	require.Equal(t, 1, c.Cold, "the environment lived on and was used again")
	require.NotZero(t, s.Function(name).StartFailures["network"])
}

// Scenario 3: idle without a minimum, the invocation ends soon; with one it does not.
func TestIdleInstancesEndUnlessTheyAreTheMinimum(t *testing.T) {
	t.Parallel()
	idle := controlplanetest.App(t, "idle", controlplanetest.Library)
	kept := controlplanetest.App(t, "kept", controlplanetest.Library)
	kept.Scaling.Min = 1
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{idle, kept}})
	client := controlplanetest.Client(t, controlplanetest.HTTP1)
	eventuallyReady(s, "kept", 1)
	before, starts := s.Instances("kept")[0].ID, s.Function("kept").Starts
	for _, function := range []string{"kept", "idle", "idle"} {
		r := fetch(t.Context(), client, s.URL("/"+function+"/hello"))
		require.True(t, r.served(), r)
	}
	eventuallyFrozen(s, "idle")
	f := s.Function("idle")
	require.Positive(t, f.Starts)
	require.Equal(t, f.Starts, f.Ends[string(wire.ReasonScaleIn)], f.Ends)
	served := s.Lambda.Counters("idle").BilledMs
	require.Less(t, served, 10_000, "soon, not at the function's timeout")
	require.Equal(t, before, s.Instances("kept")[0].ID, "the minimum has been idle for at least as long")
	require.Equal(t, starts, s.Function("kept").Starts)
}

// Scenario 7: the same process serves again, and again, after it was frozen, and nothing of the last time is in its way. The five
// requests hold each other's instance: one that came after its end, and before the freeze, would need another environment. So would
// a start beside one that is slow.
func TestAFrozenEnvironmentServesAgain(t *testing.T) {
	s := startBoth(t, func(f *controlplanetest.Function) { f.Scaling.Max = 1 })
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		const rounds = 5
		first := processOf(t, s, name)
		for range rounds - 1 {
			eventuallyFrozen(s, name)
			_, release := startHeld(t, s, 5, name)
			requireServed(t, release())
			eventuallyFrozen(s, name)
			eventuallyNoTunnels(t, s)
			require.Equal(t, first, processOf(t, s, name))
		}
		eventuallyFrozen(s, name)
		c := s.Lambda.Counters(name)
		require.Equal(t, 1, c.Cold)
		require.Equal(t, 2*rounds-1, c.Started, "one for each time")
		require.Equal(t, c.Started, c.Outcomes[lambdalocal.Succeeded])
	})
}

// An instance leads an operator to its log, whichever way lambdapeer is in the function: Lambda's lines have the id of the
// request. Its environment is the same after a freeze, by its peer's own name, since extensions are not told Lambda's.
func TestAnInstanceLeadsToItsLog(t *testing.T) {
	t.Parallel()
	s := startBoth(t, nil)
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		seen := map[string]bool{}
		var first operator.Instance
		for range 3 {
			held := startLoad(t, s, 1, 1, "/"+name+"/sleep?ms=500")
			eventuallyReady(s, name, 1)
			i := s.Instances(name)[0]
			environment := environmentOf(t, s, i)
			require.False(t, seen[i.RequestID], "each invocation has its own")
			seen[i.RequestID] = true
			if first.ID == "" {
				first = i
			}
			require.Equal(t, first.Environment, i.Environment)
			if name == string(controlplanetest.Library) {
				require.Contains(t, i.LogStream, environment.ID)
			} else {
				require.Empty(t, i.LogStream)
			}
			requireServed(t, held.wait())
			eventuallyFrozen(s, name)
		}
		require.Equal(t, 1, s.Lambda.Counters(name).Cold)
	})
}

// eventuallyNoTunnels waits until frozen environments have no connection left that could be used before they dial again.
func eventuallyNoTunnels(t *testing.T, s *controlplanetest.Stack) {
	t.Helper()
	s.Eventually("no tunnels", func() error {
		m, _ := scrapeMetrics(t, s)
		for _, series := range []string{`relay_tunnels{state="idle"}`, `relay_tunnels{state="spliced"}`, "relay_control_streams"} {
			if n := m.value(t, series); n != 0 {
				return fmt.Errorf("%s is %v", series, n)
			}
		}
		return nil
	})
}

// processOf sends a request and says which process of the app served it.
func processOf(t *testing.T, s *controlplanetest.Stack, name string) string {
	t.Helper()
	r := fetch(t.Context(), controlplanetest.Client(t, controlplanetest.HTTP1), s.URL("/"+name+"/hello"))
	require.True(t, r.served(), r)
	return r.environment + " " + r.header.Get(contract.PidHeader)
}

// Scenario 8: a drained instance finishes what it has, however long that takes, gets nothing new, and its invocation returns.
func TestADrainedInstanceFinishesItsWork(t *testing.T) {
	t.Parallel()
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Min = 1
		f.Scaling.DrainTimeout = 500 * time.Millisecond // what it has takes longer, and its invocation's deadline is far
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		eventuallyReady(s, name, 1)
		old := s.Instances(name)[0]
		environment := environmentOf(t, s, old).ID
		long, release := startHeld(t, s, 3, name)
		status, body := s.AdminPost("/api/v1/instances/" + old.ID + "/drain")
		require.Equal(t, http.StatusAccepted, status, body)
		meanwhile := startLoad(t, s, 5, 50, "/"+name+"/hello").wait()
		requireServed(t, meanwhile)
		require.NotContains(t, servedBy(meanwhile), environment)
		eventuallyPassed(s, 2*s.Config.Functions[0].Scaling.DrainTimeout)
		require.Empty(t, long.soFar(), "nothing has cut them")
		results := release()
		requireServed(t, results)
		require.Equal(t, map[string]int{environment: 3}, servedBy(results))
		eventuallyReady(s, name, 1)
		require.EqualValues(t, 1, s.Function(name).Ends[string(wire.ReasonOperator)])
		s.Eventually("frozen", func() error {
			if e := environments(s, name)[environment]; e.State != lambdalocal.StateFrozen {
				return fmt.Errorf("it is %s", e.State)
			}
			return nil
		})
	})
}

// Scenario 8, under load: instances and whole functions are drained again and again, and no client notices.
func TestDrainsUnderLoad(t *testing.T) {
	s := startBoth(t, func(f *controlplanetest.Function) { f.Scaling.Min = 3 })
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		requests := startLoad(t, s, 25, endless, "/"+name+"/sleep?ms=10")
		for round := range 6 {
			s.Eventually("ready", func() error {
				if f := s.Function(name); f.Ready < 3 {
					return fmt.Errorf("%d are", f.Ready)
				}
				return nil
			})
			before := requests.sent.Load()
			path := "/api/v1/functions/" + name + "/drain"
			if round%2 == 0 {
				path = "/api/v1/instances/" + firstReady(t, s, name) + "/drain"
			}
			status, body := s.AdminPost(path)
			require.Equal(t, http.StatusAccepted, status, body)
			s.Eventually("more requests", func() error {
				if sent := requests.sent.Load() - before; sent < 200 {
					return fmt.Errorf("%d were sent", sent)
				}
				return nil
			})
		}
		results := requests.stop()
		requireServed(t, results)
		t.Logf("%d requests, %d environments", len(results), len(slices.Collect(maps.Keys(servedBy(results)))))
		ends := s.Function(name).Ends
		require.GreaterOrEqual(t, ends[string(wire.ReasonOperator)], uint64(3), ends)
		require.NotZero(t, ends[string(wire.ReasonRollout)], ends)
	})
}

func firstReady(t *testing.T, s *controlplanetest.Stack, name string) string {
	t.Helper()
	for _, i := range s.Instances(name) {
		if i.State == "ready" {
			return i.ID
		}
	}
	require.Fail(t, "none is ready")
	return ""
}
