package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

const quiet = time.Second

func TestRetireReturnsAtOnceWhereNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		began := time.Now()
		w.Retire(t.Context(), quiet)
		require.Zero(t, time.Since(began), "nobody ever did")

		result := w.acquire(t.Context())
		id := w.instances()[0]
		w.publish()
		w.comesUp(id)
		(<-result).lease.Release()
		time.Sleep(quiet)
		began = time.Now()
		w.Retire(t.Context(), quiet)
		require.Zero(t, time.Since(began), "nobody does any more")
	})
}

func TestRetireServesUntilNothingArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		id := w.instances()[0]
		w.publish()
		w.comesUp(id)
		(<-w.acquire(t.Context())).lease.Release()
		retired := make(chan time.Time)
		go func() {
			w.Retire(t.Context(), quiet)
			retired <- time.Now()
		}()
		for range 20 {
			time.Sleep(quiet / 2)
			(<-w.acquire(t.Context())).lease.Release()
		}
		last := time.Now()
		require.InDelta(t, quiet, (<-retired).Sub(last), float64(2*retireEvery))
		require.Len(t, w.instances(), 1)
	})
}

func TestRetireWaitsForWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		result := w.acquire(t.Context())
		id := w.instances()[0]
		w.publish()
		retired := make(chan struct{})
		go func() {
			w.Retire(t.Context(), quiet)
			close(retired)
		}()
		time.Sleep(10 * quiet)
		synctest.Wait()
		select {
		case <-retired:
			require.Fail(t, "a request waits")
		default:
		}
		w.comesUp(id)
		(<-result).lease.Release()
		<-retired

		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		w.Draining(id, "deadline")
		w.acquire(t.Context()) // nobody will serve it
		began := time.Now()
		w.Retire(ctx, quiet)
		require.InDelta(t, 15*time.Second, time.Since(began), float64(retireEvery), "the grace bounds it")
	})
}

// Nobody waits for it, and it may take minutes.
func TestShutdownDoesNotWaitForAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		require.Len(t, w.instances(), 1)
		began := time.Now()
		w.Shutdown(t.Context())
		require.Zero(t, time.Since(began))
	})
}
