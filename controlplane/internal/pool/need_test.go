package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Operators read it in the log.
func TestAStartKnowsWhatItIsFor(t *testing.T) {
	ours := settings()
	ours.Scaling.Policy, ours.Scaling.Preference, ours.Scaling.Min, ours.Lifetime = nil, scaler.Cost, 1, serving(time.Minute)
	w := newWorld(t, ours)
	up := func() (need scaler.Need) {
		i := w.takeStarted()
		w.did(w.p.Up(w.now, i, 10))
		require.Empty(t, w.started)
		return i.Need()
	}
	require.Equal(t, scaler.ForMin, up())
	busy := w.acquireN(11)
	require.Equal(t, scaler.ForWaiters, up())
	w.release(busy...)
	w.run(time.Second, nil)
	w.endDrained()
	for len(w.started) == 0 {
		w.run(time.Second, nil)
	}
	require.Equal(t, scaler.ForRotation, up())
	w.endDrained()

	w.did(w.p.Route(w.now, one, rollout.Plan{}, false))
	w.did(w.p.Renew(w.now, rollout.Plan{}, false))
	require.Equal(t, scaler.ForRollout, up())
}
