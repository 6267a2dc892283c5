package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func TestAPoolThatRetiresServesOnAndStartsForWaitersOnly(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Concurrency, s.Scaling.Min, s.Scaling.Max = 2, 3, 10 })
	w.upAll()
	w.did(w.p.Retire(w.now))
	rs := w.acquireN(6)
	w.requireStates(pool.Leased, rs)
	w.end(rs[0].Instance(), scaler.Crashed)
	w.run(time.Minute, nil)
	require.Equal(t, 3, w.starts, "the minimum is not kept up any more")

	waiting := w.acquireN(3)
	require.Equal(t, 5, w.starts, "two more slots each")
	w.release(waiting[2])
	w.upAll()
	w.requireStates(pool.Leased, waiting[:2])
	w.run(time.Minute, nil)
	require.Equal(t, 5, w.starts)
}

func TestAPoolThatRetiresReplacesNothing(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Min, s.Lifetime = 1, time.Minute })
	w.upAll()
	w.release(w.acquire())
	w.did(w.p.Retire(w.now))
	w.run(2*time.Minute, w.endDrained)
	require.Equal(t, 1, w.starts)
	require.Zero(t, w.p.Stats().Live())
}
