package pool_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A pool that takes over knows what the one before had learned: environments that are frozen, how often it may start, why
// starts fail.
func TestWhatAPoolHasLearnedIsHandedOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		actions := m.actions()
		delete(actions, "close")
		t.Repeat(actions)
		text, err := json.Marshal(m.p.Note(m.now))
		require.NoError(t, err)
		var note pool.Note
		require.NoError(t, json.Unmarshal(text, &note))

		s := m.s
		s.Scaling.Total = nil
		after := pool.New(s)
		after.Learn(m.now, note, 0)
		m.p.Tick(m.now)
		require.Equal(t, m.p.Stats().Frozen, after.Stats().Frozen)
		again, err := json.Marshal(after.Note(m.now))
		require.NoError(t, err)
		require.JSONEq(t, string(text), string(again))
	})
}

// Whatever a note says, the pool works on.
func FuzzNote(f *testing.F) {
	f.Add([]byte(`{"fleet":{"warm":{"mean":4e7,"n":8},"frozen":[{"name":"a","age":1}]},"tail":{"seen":{"3":5},"cut":7},"guards":{"tokens":1,"cause":"denied","steps":2,"until":9}}`))
	f.Add([]byte(`{"fleet":{"cold":{"mean":-1,"n":-8},"frozen":[{"name":"","age":-1}]},"tail":{"seen":{"-3":-5}},"guards":{"tokens":-9,"cause":"?","steps":99999999999}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var note pool.Note
		if json.Unmarshal(text, &note) != nil {
			return
		}
		p, now := pool.New(settings()), time.Unix(1_000_000, 0)
		p.Learn(now, note, time.Second)
		require.NoError(t, p.Check())
		r := &pool.Request{}
		p.Acquire(now, r)
		for next := p.Next(); !next.IsZero() && next.Before(now.Add(10*time.Minute)); next = p.Next() {
			if next.After(now) {
				now = next
			}
			p.Tick(now)
			require.NoError(t, p.Check())
		}
	})
}
