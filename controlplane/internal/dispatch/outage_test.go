package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func (w *world) function() operator.Function { return w.Functions()[0] }

// finish ends the instance as its peer does when it is told to.
func (w *world) finish(id string) {
	w.t.Helper()
	reason := w.drainedFor(id)
	require.NotEmpty(w.t, reason, "not told to finish")
	report := wire.Report{Reason: reason}
	w.Down(id, &report, nil)
	w.end(id, provider.End{Report: &report})
}

// After a request, the reserve would be filled; not while Envoy is away.
func TestNoReserveWhileNoEnvoyIsConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Preference = config.PreferBalanced })
		w.Connected(1)
		id, lease := w.up()
		w.Connected(0)
		lease.Release()
		time.Sleep(time.Second)
		require.Empty(t, w.drainedFor(id), "Envoy may be back in a moment")
		time.Sleep(time.Second)
		w.finish(id)
		time.Sleep(time.Hour)
		require.Len(t, w.instances(), 1)
	})
}

// An instance of the minimum that comes up without an Envoy is let go after a second, says why, and is there again when
// one comes.
func TestAnInstanceThatNoEnvoyKnowsIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		w.Connected(1)
		w.Connected(0)
		id := w.instances()[0]
		w.comesUp(id)
		time.Sleep(2 * time.Second)
		w.finish(id)
		require.Equal(t, map[string]uint64{"no_envoy": 1}, w.function().Ends)
		require.Equal(t, map[string]uint64{"no_envoy": 1}, w.function().StartFailures)
		require.Equal(t, "no_envoy", w.function().Blocked)
		require.Contains(t, w.function().BlockedDetail, "Envoy")
		time.Sleep(time.Hour)
		require.Len(t, w.instances(), 1)

		w.Connected(1)
		ids := w.instances()
		require.Len(t, ids, 2)
		w.comesUp(ids[1])
		w.publish()
		require.Equal(t, 1, w.function().Ready)
		require.Empty(t, w.function().Blocked)
	})
}

// What was reached through a relay that is gone is not leased, and nothing is started in its place. It serves when it is back.
func TestARelayThatIsGoneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		lease.Release()
		w.Attached(false)
		w.Away(id)
		waiting := w.acquire(t.Context())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, waiting)
		require.Len(t, w.instances(), 1)
		require.Equal(t, "no_relay", w.function().Blocked)
		require.Equal(t, "down", w.Instances()[0].State)
		w.Attached(true)
		w.comesUp(id)
		require.NoError(t, (<-waiting).err)
		require.Len(t, w.instances(), 1)
		require.Empty(t, w.function().StartFailures)
	})
}
