package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// without leaves functions out of a configuration.
func without(names ...string) func(*config.Config) {
	return func(c *config.Config) {
		c.Functions = slices.DeleteFunc(slices.Clone(c.Functions), func(f config.Function) bool { return slices.Contains(names, f.Name) })
	}
}

// edit changes one function of a configuration.
func edit(name string, change func(*config.Function)) func(*config.Config) {
	return func(c *config.Config) {
		for i := range c.Functions {
			if c.Functions[i].Name == name {
				change(&c.Functions[i])
			}
		}
	}
}

// statusOf gets a path, and returns the status and the body.
func statusOf(t *testing.T, s *controlplanetest.Stack, path string) (int, string) {
	t.Helper()
	response, err := http.Get(s.URL(path))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func envoyStat(t *testing.T, s *controlplanetest.Stack, name string) uint64 {
	t.Helper()
	stats, err := s.Envoy.Stats(t.Context(), name)
	require.NoError(t, err)
	return stats[name]
}

// answers waits until a path is answered so.
func answers(t *testing.T, s *controlplanetest.Stack, path string, want int) {
	t.Helper()
	s.Eventually(fmt.Sprint(path, " ", want), func() error {
		if got, body := statusOf(t, s, path); got != want {
			return fmt.Errorf("%d %s", got, body)
		}
		return nil
	})
}

// A function and a route that are new are served, what a bad file says is not taken, and what needs a restart is named.
func TestAnotherConfigurationIsTaken(t *testing.T) {
	t.Parallel()
	web, shop := controlplanetest.App(t, "web", controlplanetest.Library), controlplanetest.App(t, "shop", controlplanetest.Library)
	s := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{web, shop}, Config: without("shop"),
	})
	answers(t, s, "/web/sleep", http.StatusOK)
	answers(t, s, "/shop/sleep", http.StatusNotFound)

	did := s.Reload(func(c *config.Config) {
		c.Functions = append(c.Functions, shop.Function)
		c.Log.Format = "json"
	})
	require.Equal(t, []string{"functions[shop]"}, did.Changed)
	require.Equal(t, []string{"log.format"}, did.Restart)
	answers(t, s, "/shop/sleep", http.StatusOK)
	requireMetric(t, s, "lambda_dispatch_config_needs_restart 1\n")

	s.WriteFile("functions:\n- name: web\n  queue: {limmit: 3}\n")
	status, body := s.AdminPost("/reload")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "functions[0].queue.limmit: line 3: unknown key, did you mean limit?")
	answers(t, s, "/shop/sleep", http.StatusOK)
	_, ready := s.AdminGet("/readyz")
	require.Contains(t, ready, "functions[0].queue.limmit")
	requireMetric(t, s, "lambda_dispatch_config_last_reload_successful 0\n")

	// The file alone is enough.
	s.WriteConfig(edit("web", func(f *config.Function) { f.Routes = append(f.Routes, config.Route{Path: "/also", StripPrefix: true}) }))
	answers(t, s, "/also/sleep", http.StatusOK)
	requireMetric(t, s, "lambda_dispatch_config_last_reload_successful 1\n")
}

func requireMetric(t *testing.T, s *controlplanetest.Stack, line string) {
	t.Helper()
	_, text := s.AdminGet("/metrics")
	require.Contains(t, text, line)
}

// A pace asks for a path so often a second, and counts what was not answered with 200.
type pace struct {
	sent, failed atomic.Int64
	first        atomic.Value // string, of the failures
	stop         func()
}

func paceOn(t *testing.T, s *controlplanetest.Stack, path string, perSecond int) *pace {
	t.Helper()
	l := &pace{}
	client := controlplanetest.Client(t, controlplanetest.HTTP1)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for ctx.Err() == nil {
			<-ticker.C
			all.Go(func() { l.one(client, s.URL(path)) })
		}
	})
	l.stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

func (l *pace) one(client *http.Client, url string) {
	l.sent.Add(1)
	response, err := client.Get(url)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", response.StatusCode)
		}
	}
	if err != nil {
		l.failed.Add(1)
		l.first.CompareAndSwap(nil, err.Error())
	}
}

// Scenario 46: under 50 requests a second to each of two functions one is edited in every way: no request of either fails, and Envoy is told
// nothing of the other.
func TestLongAnEditUnderLoad(t *testing.T) {
	web, shop := controlplanetest.App(t, "web", controlplanetest.Library), controlplanetest.App(t, "shop", controlplanetest.Library)
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{web, shop}})
	answers(t, s, "/web/sleep", http.StatusOK)
	answers(t, s, "/shop/sleep", http.StatusOK)
	loads := map[string]*pace{"web": paceOn(t, s, "/web/sleep?ms=30", 50), "shop": paceOn(t, s, "/shop/sleep?ms=30", 50)}
	listeners, clusters := envoyStat(t, s, "listener_manager.listener_modified"), envoyStat(t, s, "cluster_manager.cluster_modified")
	for _, change := range []func(*config.Function){
		func(f *config.Function) { f.Queue.Timeout, f.Queue.Limit = 5*time.Minute, 77 },
		func(f *config.Function) { f.Timeouts.Idle, f.Timeouts.FirstByte = time.Minute, 20*time.Second },
		func(f *config.Function) { f.Scaling.Concurrency = 3 },
		func(f *config.Function) { f.Routes = append(f.Routes, config.Route{Host: "web.example.com"}) },
		func(f *config.Function) { f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.Max = 20, 2, 5 },
		func(f *config.Function) { f.Scaling.Min, f.Scaling.Max, f.Lambda.MemoryMB = 0, 2, 512 },
	} {
		require.NotEmpty(t, s.Reload(edit("web", change)).Changed)
		sent := loads["web"].sent.Load()
		require.Eventually(t, func() bool { return loads["web"].sent.Load() > sent+50 }, controlplanetest.Patience, 10*time.Millisecond)
	}
	for name, l := range loads {
		l.stop()
		require.Zero(t, l.failed.Load(), "%s: of %d, first %v", name, l.sent.Load(), l.first.Load())
	}
	require.Equal(t, listeners, envoyStat(t, s, "listener_manager.listener_modified"))
	require.Equal(t, clusters+2, envoyStat(t, s, "cluster_manager.cluster_modified"), "web's, for two edits of its concurrency")
}

// A function that is taken out finishes what it has, and its instances end; whoever asks for it from then on is told that it is not
// there. The other one is not touched.
func TestLongAFunctionIsTakenOutUnderLoad(t *testing.T) {
	web, shop := controlplanetest.App(t, "web", controlplanetest.Library), controlplanetest.App(t, "shop", controlplanetest.Library)
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{web, shop}})
	answers(t, s, "/web/sleep", http.StatusOK)
	answers(t, s, "/shop/sleep", http.StatusOK)
	others := paceOn(t, s, "/web/sleep?ms=30", 50)
	long := paceOn(t, s, "/shop/sleep?ms=3000", 20)
	require.Eventually(t, func() bool { return s.Function("shop").InFlight > 10 }, controlplanetest.Patience, 10*time.Millisecond)
	removed := envoyStat(t, s, "cluster_manager.cluster_removed")
	asked := make(chan struct{})
	go func() {
		long.stop() // what was sent before is waited for
		close(asked)
	}()
	require.Eventually(t, func() bool {
		before := long.sent.Load()
		time.Sleep(200 * time.Millisecond)
		return before == long.sent.Load()
	},
		controlplanetest.Patience, time.Millisecond)
	s.Reload(without("shop"))
	answers(t, s, "/shop/sleep", http.StatusNotFound)
	require.True(t, s.Function("shop").Leaving)
	<-asked
	require.Zero(t, long.failed.Load(), "of %d, first %v", long.sent.Load(), long.first.Load())
	s.Eventually("gone", func() error {
		if _, body := s.AdminGet("/api/v1/functions"); strings.Contains(body, `"shop"`) {
			return fmt.Errorf("it is still there: %s", body)
		}
		if got := envoyStat(t, s, "cluster_manager.cluster_removed"); got != removed+2 {
			return fmt.Errorf("%d clusters removed", got-removed)
		}
		return nil
	})
	for _, e := range s.Lambda.Environments() {
		require.False(t, e.Function == "shop" && e.State == lambdalocal.StateBusy, "nothing is billed on")
	}
	others.stop()
	require.Zero(t, others.failed.Load(), "of %d, first %v", others.sent.Load(), others.first.Load())

	s.Reload(func(c *config.Config) { c.Functions = append(c.Functions, shop.Function) })
	answers(t, s, "/shop/sleep", http.StatusOK)
}

// A control plane that takes over with another configuration goes on as if that had been loaded.
func TestLongATakeoverWithAnotherConfiguration(t *testing.T) {
	t.Parallel()
	var functions []controlplanetest.Function
	for _, name := range []string{"web", "old", "new"} {
		functions = append(functions, controlplanetest.App(t, name, controlplanetest.Library))
	}
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: functions, Apart: true, Config: without("new")})
	s.Leader.Leads()
	answers(t, s, "/old/sleep", http.StatusOK)
	others, long := paceOn(t, s, "/web/sleep?ms=30", 50), &pace{}
	client := controlplanetest.Client(t, controlplanetest.HTTP1)
	var last sync.WaitGroup
	for range 10 {
		last.Go(func() { long.one(client, s.URL("/old/sleep?ms=6000")) })
	}
	require.Eventually(t, func() bool { return s.Function("old").InFlight == 10 }, controlplanetest.Patience, 10*time.Millisecond)

	without("old")(s.Config)
	s.Config.Functions = append(s.Config.Functions, functions[2].Function)
	next := s.StartControlPlane()
	s.Leader.Stop()
	next.Leads()
	answers(t, s, "/new/sleep", http.StatusOK)
	answers(t, s, "/old/sleep", http.StatusNotFound)
	last.Wait()
	require.Zero(t, long.failed.Load(), "first %v", long.first.Load())
	s.Eventually("gone", func() error {
		if _, body := s.AdminGet("/api/v1/functions"); strings.Contains(body, `"old"`) {
			return fmt.Errorf("it is still there: %s", body)
		}
		return nil
	})
	others.stop()
	require.Zero(t, others.failed.Load(), "of %d, first %v", others.sent.Load(), others.first.Load())
}
