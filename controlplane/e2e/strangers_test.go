package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A mob is connections to the relay that say nothing: some that are opened again as soon as they are closed, and new ones
// at a rate, which are held as long as the relay lets them.
type mob struct{ standing, perSecond int }

func (m mob) run(ctx context.Context, address string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range m.standing {
		all.Go(func() {
			for ctx.Err() == nil {
				sayNothing(ctx, address)
			}
		})
	}
	all.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(m.perSecond))
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			all.Go(func() { sayNothing(ctx, address) })
		}
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// sayNothing connects and returns when the other end has closed, or ctx has ended.
func sayNothing(ctx context.Context, address string) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	_, _ = io.Copy(io.Discard, conn)
}

// Scenario 48: a function at zero answers under a flood of silent strangers. How long it takes is logged: by the clock of a machine
// that does other things, too, it would be asserted of that machine.
func TestSilentStrangersKeepNobodyOut(t *testing.T) {
	m := mob{standing: 5000, perSecond: 65}
	function := siteApp(t, "web", controlplanetest.Library)
	function.Scaling.Min, function.Scaling.Preference = 0, config.PreferCost // nothing but a request starts an instance
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{function},
	}), "web", controlplanetest.HTTP1)
	s.get("/hello")
	usual := s.fromZero(25)
	stop := m.run(t.Context(), s.Relay)
	defer stop()
	s.Eventually("flooded", func() error {
		if n := s.metric(`lambda_dispatch_relay_connections{state="stranger"}`); n < float64(m.standing)/2 {
			return fmt.Errorf("%v strangers", n)
		}
		return nil
	})
	flooded := s.fromZero(25)
	t.Logf("from zero: %v usually, %v under the flood; starts that failed: %v", usual, flooded, s.Function("web").StartFailures)
}

// fromZero is the median time of a request that starts an instance, of so many.
func (s site) fromZero(count int) time.Duration {
	s.t.Helper()
	times := make([]time.Duration, count)
	for n := range times {
		status, body := s.AdminPost("/api/v1/functions/" + s.name + "/drain")
		require.Equal(s.t, http.StatusAccepted, status, body)
		s.eventuallyInstances(0)
		began := time.Now()
		require.Equal(s.t, http.StatusOK, s.get("/hello").StatusCode)
		times[n] = time.Since(began)
	}
	slices.Sort(times)
	return times[count/2]
}

func (s site) metric(series string) float64 {
	s.t.Helper()
	all, _ := scrapeMetrics(s.t, s.Stack)
	return all[series]
}
