package e2e_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A burst meets a function that has no instance: everybody is answered, by as many instances as that needs at most, and
// whoever waits does so because no slot is free.
func TestABurstMeetsAStoppedFunction(t *testing.T) {
	const clients, concurrency = 100, 10
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency, f.Scaling.Preference = concurrency, config.PreferBalanced
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		watch := watchQueue(s, name)
		results := startLoad(t, s, clients, clients, "/"+name+"/sleep?ms=100").wait()
		looks, idleBesideWaiter := watch.stop()
		requireServed(t, results)
		f := s.Function(name)
		require.LessOrEqual(t, f.Starts, uint64(clients/concurrency))
		require.LessOrEqual(t, s.Lambda.Counters(name).Started, clients/concurrency)
		require.Empty(t, f.StartFailures)
		require.NotZero(t, looks)
		require.Zero(t, idleBesideWaiter, "looks that met a free slot beside a waiter")
		t.Logf("%d starts, %d environments served, %d looks", f.Starts, len(servedBy(results)), looks)
	})
}

// A queueWatch looks at a function again and again. What one look shows was so at one moment.
type queueWatch struct {
	done    chan struct{}
	looking sync.WaitGroup

	// Owned by the goroutine until stop.
	looks, idleBesideWaiter int
}

func watchQueue(s *controlplanetest.Stack, name string) *queueWatch {
	w := &queueWatch{done: make(chan struct{})}
	w.looking.Go(func() {
		for {
			select {
			case <-w.done:
				return
			case <-time.After(betweenLooks):
			}
			f := s.Function(name)
			w.looks++
			if f.QueueDepth > 0 && f.Free > 0 {
				w.idleBesideWaiter++
			}
		}
	})
	return w
}

func (w *queueWatch) stop() (looks, idleBesideWaiter int) {
	close(w.done)
	w.looking.Wait()
	return w.looks, w.idleBesideWaiter
}
