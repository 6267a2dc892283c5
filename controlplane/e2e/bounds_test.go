package e2e_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// Scenario 32: the minimum and the maximum hold at every look, under a load that asks for ten times the maximum and
// after it, also while an instance is lost.
func TestMinimumAndMaximumHoldUnderLoad(t *testing.T) {
	const least, most, concurrency = 2, 3, 2
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.Max = concurrency, least, most
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		eventuallyReady(s, name, least)
		watch := watchBounds(s, name)
		l := startLoad(t, s, 10*most*concurrency, endless, "/"+name+"/sleep?ms=20")
		s.Eventually("the maximum", func() error {
			if f := s.Function(name); f.Ready != most || f.Blocked != "max" {
				return fmt.Errorf("%d ready, starts are withheld by %q", f.Ready, f.Blocked)
			}
			return nil
		})
		eventuallySent(s, l, 200)
		requireServed(t, l.stop())
		eventuallyReady(s, name, least)
		seen := watch.stop()
		require.Equal(t, most, seen.mostLive)
		require.Equal(t, least, seen.leastReady)
		require.Equal(t, most, seen.mostBusy, "environments with an invocation")

		again := startLoad(t, s, 10*most*concurrency, endless, "/"+name+"/sleep?ms=20")
		eventuallySent(s, again, 100)
		watch = watchBounds(s, name)
		killOne(t, s, name)
		eventuallySent(s, again, 200)
		requireServedOrLost(t, again.stop(), 2*concurrency) // its own, and what was sent there before the pool knew
		eventuallyReady(s, name, least)
		require.LessOrEqual(t, watch.stop().mostLive, most)
	})
}

// bounds are the extremes of many looks.
type bounds struct {
	mostLive, leastReady, mostBusy int

	done    chan struct{}
	looking sync.WaitGroup
}

// betweenLooks leaves a watch little of a core: what is watched needs them.
const betweenLooks = 5 * time.Millisecond

// watchBounds looks at a function again and again.
func watchBounds(s *controlplanetest.Stack, name string) *bounds {
	b := &bounds{leastReady: 1 << 30, done: make(chan struct{})}
	b.looking.Go(func() {
		for {
			select {
			case <-b.done:
				return
			case <-time.After(betweenLooks):
				b.look(s, name)
			}
		}
	})
	return b
}

func (b *bounds) look(s *controlplanetest.Stack, name string) {
	f := s.Function(name)
	b.mostLive = max(b.mostLive, f.Starting+f.Ready+f.Draining+f.Down)
	b.leastReady = min(b.leastReady, f.Ready)
	busy := 0
	for _, e := range environments(s, name) {
		if e.State == lambdalocal.StateBusy {
			busy++
		}
	}
	b.mostBusy = max(b.mostBusy, busy)
}

func (b *bounds) stop() *bounds {
	close(b.done)
	b.looking.Wait()
	return b
}
