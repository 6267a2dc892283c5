package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// slowApp is a function whose init takes so long.
func slowApp(t *testing.T, init time.Duration, concurrency int, prefer string) controlplanetest.Function {
	f := controlplanetest.App(t, fmt.Sprintf("%s-%d-%s", init, concurrency, prefer), controlplanetest.Library)
	f.Local.ColdStartDelay = lambdalocal.Fixed(init)
	f.Scaling.Concurrency, f.Scaling.Preference = concurrency, prefer
	f.ServerTiming.Enabled = true
	return f
}

var preferences = []string{config.PreferCost, config.PreferBalanced, config.PreferLatency}

// Scenario 41. The second visitor comes two seconds after the first one was served: his environment is frozen, and the reserve starts.
func TestLongInitsAreNotWaitedForBesideAFrozenEnvironment(t *testing.T) {
	var o controlplanetest.Options
	for _, init := range []time.Duration{7 * time.Second, 14 * time.Second} {
		for _, concurrency := range []int{1, 10} {
			for _, prefer := range preferences {
				o.Functions = append(o.Functions, slowApp(t, init, concurrency, prefer))
			}
		}
	}
	stack := controlplanetest.Start(t, o)
	for _, f := range o.Functions {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			s := stack.In(t)
			client := controlplanetest.Client(t, controlplanetest.HTTP1)
			first := fetch(t.Context(), client, s.URL("/"+f.Name+"/hello"))
			require.True(t, first.served(), first)
			require.Greater(t, first.coldWait(t), f.Local.ColdStartDelay.Min, "it has an init, or this test shows nothing")
			time.Sleep(2 * time.Second) // a visitor comes when he comes
			second := fetch(t.Context(), client, s.URL("/"+f.Name+"/hello"))
			require.True(t, second.served(), second)
			require.Zero(t, second.coldWait(t))
		})
	}
}

// Nothing is started for the reserve while Envoy is away.
func TestAnOutageOfEnvoyCostsNothing(t *testing.T) {
	t.Parallel()
	f := controlplanetest.App(t, "web", controlplanetest.Library)
	f.Scaling.Preference = config.PreferBalanced
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	client := controlplanetest.Client(t, controlplanetest.HTTP1)
	require.True(t, fetch(t.Context(), client, s.URL("/web/hello")).served())
	s.StopEnvoy()
	s.Eventually("gone", func() error {
		if f := s.Function("web"); f.Starting+f.Ready+f.Draining > 0 {
			return fmt.Errorf("%d starting, %d ready, %d draining", f.Starting, f.Ready, f.Draining)
		}
		return nil
	})
	starts := s.Function("web").Starts
	time.Sleep(8 * time.Second) // within five seconds of a cold wait's end a reserve would be looked at
	require.Equal(t, starts, s.Function("web").Starts)
}

// One instance, once it is up, serves all who came meanwhile sooner than others could: nothing else is started for them.
func TestLongInitsAreNotMadeForEachRequest(t *testing.T) {
	t.Parallel()
	const requests, apart = 26, 200 * time.Millisecond
	var o controlplanetest.Options
	for _, prefer := range preferences {
		o.Functions = append(o.Functions, slowApp(t, 5*time.Second, 1, prefer))
	}
	stack := controlplanetest.Start(t, o)
	for _, f := range o.Functions {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			s := stack.In(t)
			client := controlplanetest.Client(t, controlplanetest.HTTP1)
			var all sync.WaitGroup
			results := make([]result, requests)
			for k := range results {
				all.Go(func() { results[k] = fetch(t.Context(), client, s.URL("/"+f.Name+"/sleep?ms=100")) })
				time.Sleep(apart) // they come when they come
			}
			all.Wait()
			for _, r := range results {
				require.Equal(t, http.StatusOK, r.status, r)
			}
			require.LessOrEqual(t, s.Function(f.Name).Starts, uint64(5), "of %d", requests)
		})
	}
}
