package dispatch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
)

// goesOn beats for so long, as a process does that runs.
func goesOn(w *world, d time.Duration) (stalls int) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(BeatEvery) {
		stalls = w.Beat()
	}
	return stalls
}

// kept is a function whose instance nobody drains.
func kept(f *config.Function) { f.Scaling.Min = 1 }

// Whoever has stood still leases nothing before it has heard what there is: others have leased meanwhile.
func TestADispatcherThatStoodStillDecidesNothingBeforeItHasHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kept)
		id, lease := w.up()
		lease.Release()
		require.Zero(t, goesOn(w, 200*time.Millisecond))
		w.stopTimer() // a process that stands still has no timers
		time.Sleep(4 * time.Second)

		waiting := w.acquire(t.Context())
		synctest.Wait()
		require.Empty(t, waiting, "leased what a caretaker may have leased")
		stalls := goesOn(w, 100*time.Millisecond)
		require.Equal(t, 1, stalls)
		w.Load(id, relays.Load{InFlight: 10})
		w.Resume(stalls)
		synctest.Wait()
		require.Empty(t, waiting)
		require.Equal(t, 10, w.function().Foreign)
		w.Load(id, relays.Load{})
		got := <-waiting
		require.NoError(t, got.err)
		got.lease.Release()
		require.Equal(t, 1, goesOn(w, time.Second), "once")
	})
}

// It may stand still again before it has heard: then it waits for what is told after that.
func TestADispatcherThatStoodStillTwiceWaitsForTheSecondAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kept)
		_, lease := w.up()
		lease.Release()
		w.Beat()
		w.stopTimer()
		time.Sleep(time.Second)
		first := w.Beat()
		time.Sleep(time.Second)
		waiting := w.acquire(t.Context())
		w.Resume(first)
		synctest.Wait()
		require.Empty(t, waiting)
		w.Resume(w.Beat())
		require.NoError(t, (<-waiting).err)
	})
}

func (w *world) stopTimer() {
	for _, f := range w.list() {
		f.mu.Lock()
		f.timer.Stop()
		f.armed = time.Time{}
		f.mu.Unlock()
	}
}

// A stall that a step of a pool notices is not forgotten, whenever the process beats: nobody would take over anew.
func TestAStallThatIsNoticedBesideABeatIsKept(t *testing.T) {
	const stalls = 20_000
	d := &Dispatcher{}
	d.Beat()
	ctx, stop := context.WithCancel(t.Context())
	var beats sync.WaitGroup
	beats.Go(func() {
		for ctx.Err() == nil {
			d.Beat()
		}
	})
	at, before := now(), 0
	for range stalls {
		at = at.Add(time.Minute)
		counted := d.stalls(at)
		require.Greater(t, counted, before)
		before = counted
	}
	stop()
	beats.Wait()
}
