package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A worn instance serves until another one is up in its place, and is leased last meanwhile. Its environment is not counted on
// afterwards: the next start is not expected to find it frozen.
func TestAWornInstanceIsReplacedFirst(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime = 15 * time.Minute })
	busy := w.acquireN(5)
	worn := w.takeStarted()
	worn.In("old")
	w.did(w.p.Up(w.now, worn, 10))
	w.did(w.p.Worn(w.now, worn))
	require.Equal(t, pool.Ready, worn.State())
	require.Len(t, w.started, 1, "in its place")
	w.did(w.p.Worn(w.now, worn))
	require.Len(t, w.started, 1, "once")

	next := w.takeStarted()
	next.In("new")
	w.did(w.p.Up(w.now, next, 10))
	require.Equal(t, pool.Draining, worn.State())
	require.Same(t, next, w.acquire().Instance())
	w.release(busy...)
	require.Contains(t, w.finished, worn)
	w.did(w.p.Ended(w.now, worn, pool.End{Gone: true}))
	require.Zero(t, w.p.Stats().Frozen)
}

// With nobody there a worn instance is not replaced, and neither is one that is needed no more.
func TestAWornInstanceThatNobodyNeedsJustEnds(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Lifetime, s.Scaling.Policy = 15*time.Minute, nil })
	r := w.acquire()
	i := w.up()
	w.release(r)
	w.did(w.p.Worn(w.now, i))
	w.run(time.Minute, w.endDrained)
	require.Equal(t, 1, w.starts)
	require.Zero(t, w.p.Stats().Live())
}
