package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A pace is how coarsely obedient looks at what happens.
func pace(timeout time.Duration) time.Duration {
	return max(10*time.Millisecond, min(timeout/100, time.Second))
}

// obedient lets every instance that is invoked come up after a moment with that much time left, and end when it is told
// to, or when its time is over. It returns how many there were, and how many at most at once, when d is over.
func (w *world) obedient(d, startsIn, left time.Duration) (invocations, together int) {
	ups, deadlines := map[string]time.Time{}, map[string]time.Time{}
	alive, fleet := map[string]string{}, environments{}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(pace(left)) {
		for _, id := range w.instances()[invocations:] {
			invocations++
			alive[id], ups[id] = fleet.take(), time.Now().Add(startsIn)
		}
		w.publish()
		for id, environment := range alive {
			if at, waits := ups[id]; waits && !time.Now().Before(at) {
				delete(ups, id)
				deadlines[id] = time.Now().Add(left)
				w.Up(relays.Up{Instance: id, Environment: environment, Slots: 10, Left: left})
			}
			deadline, up := deadlines[id]
			if w.drainedFor(id) != "" || up && !time.Now().Before(deadline) {
				delete(alive, id)
				fleet.frozen = append(fleet.frozen, environment)
				w.end(id, provider.End{Report: &wire.Report{Reason: wire.ReasonRotation}})
			}
		}
		together = max(together, len(alive))
	}
	return invocations, together
}

// environments are Lambda's: the one that was frozen last is used next.
type environments struct {
	frozen []string
	made   int
}

func (e *environments) take() string {
	if n := len(e.frozen); n > 0 {
		last := e.frozen[n-1]
		e.frozen = e.frozen[:n-1]
		return last
	}
	e.made++
	return fmt.Sprint("env-", e.made)
}

// busy has that many clients ask for a slot, keep it for a while, and ask again, until stop is called. They do so one after
// the other: a crowd that comes again and again at once looks like the beginning of a larger one.
func (w *world) busy(clients int, each time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			time.Sleep(time.Duration(n) * each / time.Duration(clients))
			for ctx.Err() == nil {
				l, err := w.Acquire(ctx, admission.Request{Function: "web"})
				time.Sleep(each)
				if err == nil {
					l.Release()
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// Scenario 4: whatever the function's timeout, and whatever the configuration says it is, instances follow one another at
// the pace of the real one.
func TestInstancesFollowOneAnotherAtThePaceOfTheTimeout(t *testing.T) {
	for _, configured := range []time.Duration{0, 900 * time.Second} {
		for _, seconds := range []int{3, 15, 60, 900} {
			timeout := time.Duration(seconds) * time.Second
			t.Run(fmt.Sprint(timeout, " configured as ", max(timeout, configured)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func(f *config.Function) { f.Lambda.Timeout = max(timeout, configured) })
					defer w.busy(25, timeout/30)()
					const lives = 5
					invocations, together := w.obedient(lives*timeout, 200*time.Millisecond, timeout)
					require.GreaterOrEqual(t, invocations, 3*lives, "three instances, which end in time")
					require.LessOrEqual(t, invocations, 4*3*lives, "each serves for a quarter of its time at least, or is one of few that were not needed after all")
					require.LessOrEqual(t, together, 7, "not all are replaced at once")
					f := w.Functions()[0]
					require.Empty(t, f.StartFailures)
					require.Empty(t, f.Blocked)
				})
			})
		}
	}
}

// A function whose time is up before it can serve is broken, and must not be invoked over and over.
func TestLongATimeoutShorterThanTheMarginCausesNoLoop(t *testing.T) {
	for _, left := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 150 * time.Millisecond} {
		for _, clients := range []int{1, 100} {
			t.Run(fmt.Sprint(left, clients), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, nil)
					defer w.busy(clients, time.Second)()
					invocations, _ := w.obedient(10*time.Minute, time.Second, left)
					require.LessOrEqual(t, invocations, 100, "the backoff's pace: one in 15 s or more, but for the first few")
				})
			})
		}
	}
}

// And one that nobody asks for is not invoked at all.
func TestNoTimeoutCausesInvocationsWithoutRequests(t *testing.T) {
	for _, seconds := range []int{1, 3, 15, 60, 900} {
		synctest.Test(t, func(t *testing.T) {
			timeout := time.Duration(seconds) * time.Second
			w := newWorld(t, func(f *config.Function) { f.Lambda.Timeout = timeout })
			go func() {
				l, err := w.Acquire(t.Context(), admission.Request{Function: "web"})
				assert.NoError(t, err)
				l.Release()
			}()
			invocations, _ := w.obedient(20*timeout, 100*time.Millisecond, timeout)
			require.LessOrEqual(t, invocations, 2+3*int(10*time.Second/timeout),
				"those that are kept for a moment, and the reserve of environments")
			require.Zero(t, w.Functions()[0].Ready)
		})
	}
}
