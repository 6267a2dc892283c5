package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Scenarios 33 and 43, in one process: SIGTERM while requests come. Load balancers hear of it at once; whoever comes
// nevertheless is served as before, until nobody does; long requests are answered, and an idle WebSocket holds up nobody.
func TestLongSIGTERMUnderLoad(t *testing.T) {
	t.Parallel()
	const longest = 3 * time.Second
	o := controlplanetest.Options{Config: func(c *config.Config) {
		c.Shutdown.Grace, c.Listeners[0].HealthPath = controlplanetest.Patience, "/healthz"
	}}
	for _, peer := range controlplanetest.Peers {
		f := controlplanetest.App(t, string(peer), peer)
		f.Scaling.Concurrency, f.Scaling.DrainTimeout = 4, time.Minute
		o.Functions = append(o.Functions, f)
	}
	s := controlplanetest.Start(t, o)
	var loads []*load
	for _, f := range o.Functions {
		loads = append(loads, startLoad(t, s, 8, endless, "/"+f.Name+"/sleep?ms=20"))
	}
	idle, _, err := websocket.Dial(t.Context(), s.URL("/library/ws"), nil)
	require.NoError(t, err)
	eventuallySent(s, loads[0], 200)
	require.Equal(t, http.StatusOK, fetch(t.Context(), http.DefaultClient, s.URL("/healthz")).status)

	stopped := make(chan time.Time)
	go func() {
		s.StopControlPlane()
		stopped <- time.Now()
	}()
	s.Eventually("health fails", func() error {
		ready, _ := s.AdminGet("/readyz")
		if health := fetch(t.Context(), http.DefaultClient, s.URL("/healthz")).status; ready+health != 2*http.StatusServiceUnavailable {
			return fmt.Errorf("readiness %d, health path %d", ready, health)
		}
		return nil
	})
	eventuallySent(s, loads[1], 500)
	require.NoError(t, idle.Write(websocket.Text, []byte("still here")))
	_, _, err = idle.Read()
	require.NoError(t, err, "an idle connection lives as long as requests come")
	long := startLoad(t, s, 2, 2, fmt.Sprintf("/binary/sleep?ms=%d", longest.Milliseconds()))
	s.Eventually("long requests in flight", func() error {
		if n := long.sent.Load(); n < 2 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	for _, l := range loads {
		results := l.stop()
		requireServed(t, results)
		t.Logf("%d requests", len(results))
	}
	last := time.Now()
	requireServed(t, long.wait())
	_, _, err = idle.Read()
	require.Error(t, err, "it is ended")
	require.Less(t, (<-stopped).Sub(last), 20*time.Second, "not the drain timeout, which an idle WebSocket would take")
}
