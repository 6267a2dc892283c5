package pool_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// learns are the settings of a function whose slots are learned, with the policy of the server.
func learns(s *pool.Settings) { s.Concurrency, s.Learn, s.Scaling.Policy = 64, true, nil }

// crowd keeps n requests in flight on an app that does one after the other, each instance one in 100 ms, for a time.
func (w *world) crowd(n int, d time.Duration) {
	rs := w.acquireN(n)
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(100 * time.Millisecond) {
		w.did(w.p.Tick(w.now))
		w.upAll()
		served := map[*pool.Instance]bool{}
		for k, r := range rs {
			if i := r.Instance(); r.State() == pool.Leased && !served[i] {
				served[i] = true
				w.release(r)
				rs[k] = nil
			}
		}
		var next []*pool.Request
		for _, r := range rs {
			if r != nil {
				next = append(next, r)
			}
		}
		rs = append(next, w.acquireN(n-len(next))...) // the oldest first
		w.endDrained()
	}
	w.release(rs...)
}

// Slots begin with a guess, and end at what an instance serves: an app that does one request after the other gets one. Meanwhile one
// instance is the measure, and the others go on. Whoever takes over knows it.
func TestSlotsAreLearned(t *testing.T) {
	w := story(t, learns)
	w.acquireN(1)
	require.Equal(t, scaler.FirstSlots, w.up().Slots())
	for n := 0; w.p.Stats().Concurrency > 1; n++ { // two are tried now and then
		require.Less(t, n, 100)
		w.crowd(23, 10*time.Second)
	}
	w.run(time.Second, w.endDrained)
	for i := range w.p.Instances() {
		if i.State() == pool.Ready {
			require.Equal(t, 1, i.Slots())
		}
	}
	text, err := json.Marshal(w.p.Note(w.now))
	require.NoError(t, err)
	var note pool.Note
	require.NoError(t, json.Unmarshal(text, &note))
	after := story(t, learns)
	after.p.Learn(after.now, note, 0)
	require.Equal(t, 1, after.p.Stats().Concurrency)
	after.now = after.now.Add(time.Minute) // the rate of starts is handed on, too
	after.acquireN(3)
	require.Len(t, after.started, 3)
}

// The only instance that there may be is no measure: it would keep others waiting.
func TestTheOnlyInstanceIsNoMeasure(t *testing.T) {
	w := story(t, func(s *pool.Settings) {
		learns(s)
		s.Scaling.Max = 1
	})
	w.crowd(8, time.Minute)
	require.Equal(t, scaler.FirstSlots, w.p.Stats().Concurrency)
	require.Equal(t, scaler.FirstSlots, w.p.Stats().Capacity)
}
