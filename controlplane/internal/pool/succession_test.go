package pool_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// succeed puts another pool in the place of this one, in the middle of whatever goes on. Relays tell it what there is; what waits is
// asked about again, and what is leased goes on where nobody knows of it but the peers.
func (m *model) succeed(t *rapid.T) {
	m.s.Scaling.Total = scaler.NewBudget(0.15)
	before := m.p
	m.p, m.changed, m.still = pool.New(m.s), true, false
	m.p.Hold()
	m.learn(t, before.Note(m.now))
	was := m.instances
	m.reset()
	for _, old := range was {
		e := estateOf(old)
		if old.State() == pool.Draining && old.DrainReason() != "" && rapid.Bool().Draw(t, "told") {
			e.Told = old.DrainReason()
		}
		heir, err := m.p.Inherit(m.now, e)
		require.NoError(t, err)
		m.gaveUp[heir], m.startedWell[heir] = e.Told != "", e.Took > 0
		m.instances = append(m.instances, heir)
		m.others[heir] = old.InFlight() + m.others[old]
		delete(m.others, old)
		if serves(old) && rapid.Bool().Draw(t, "up before it decides") {
			m.did(m.p.Up(m.now, heir, old.Slots()))
		}
		require.NoError(t, m.p.Check())
	}
	m.did(m.p.Resume(m.now))
	m.did(m.p.Tick(m.now))
}

// did is apply for an event that brings no request.
func (m *model) did(e *pool.Effects) { m.apply(e, nil) }

func (m *model) learn(t *rapid.T, n pool.Note) {
	text, err := json.Marshal(n)
	require.NoError(t, err)
	if rapid.IntRange(0, 9).Draw(t, "note is lost") == 0 {
		return
	}
	var read pool.Note
	require.NoError(t, json.Unmarshal(text, &read))
	m.p.Learn(m.now, read, time.Duration(rapid.IntRange(0, 1000).Draw(t, "note's age"))*time.Millisecond)
}

// reset forgets what was between a pool that is gone and its caller.
func (m *model) reset() {
	m.waiting, m.leased, m.instances, m.startedAt, m.unclaimed, m.lost, m.settling, m.ended = nil, nil, nil, nil, nil, nil, nil, 0
	for _, of := range []map[*pool.Instance]time.Time{m.drainAt, m.deadlines, m.answered} {
		clear(of)
	}
	clear(m.gaveUp)
	clear(m.startedWell)
}

// others end what somebody else has leased.
func (m *model) othersEnd(t *rapid.T) {
	for _, i := range m.instances {
		if n := m.others[i]; n > 0 {
			m.others[i] -= rapid.IntRange(0, n).Draw(t, "ended")
		}
	}
}

// Whoever takes over, however often and whatever happened before and happens then, a pool keeps its invariants, gives back what it
// claims, and serves whoever waits.
func TestAnySequenceOfTakeovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		s.StartTimeout = max(s.StartTimeout, time.Second) // the configuration sets it
		m := newModelOf(t, s)
		m.others = map[*pool.Instance]int{}
		actions := m.actions()
		delete(actions, "close")
		delete(actions, "adopt")
		actions["succeed"], actions["others end"] = m.succeed, m.othersEnd
		t.Repeat(actions)
		if m.s.Scaling.Never() || m.s.Scaling.StartsPerSecond == 0 || m.s.QueueLimit == 0 {
			m.rest()
			return
		}
		clear(m.others)
		m.behave(t, 90*time.Second)
		require.Empty(t, m.waiting)
		m.arrive(t)
		m.behave(t, 20*time.Second)
		require.Empty(t, m.waiting)
		m.rest()
	})
}
