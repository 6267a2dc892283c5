package pool_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// takenOver is a pool that has taken over ready instances of ten slots, which serve so many requests of the pool before.
func takenOver(t require.TestingT, now time.Time, instances, inFlight int) (*pool.Pool, []*pool.Instance) {
	s := settings()
	s.Scaling.Policy, s.Scaling.Preference = nil, scaler.Cost // starts nothing for later
	p := pool.New(s)
	p.Hold()
	var all []*pool.Instance
	for index := range instances {
		i, err := p.Inherit(now, pool.Estate{
			Index: index, Started: now.Add(-time.Minute), Took: time.Second, Cold: true, Environment: fmt.Sprint(index),
		})
		require.NoError(t, err)
		p.Up(now, i, 10)
		p.Report(now, i, min(10, inFlight), pool.DefaultDelay)
		inFlight -= min(10, inFlight)
		all = append(all, i)
	}
	require.Empty(t, p.Resume(now).Start)
	require.NoError(t, p.Check())
	return p, all
}

// Clients that come back before it is reported that their slots are free need no new instance, whenever Envoy turns to the pool that
// has taken over.
func TestClientsThatComeBackAfterATakeoverNeedNoInstance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		instances := rapid.IntRange(1, 5).Draw(t, "instances")
		clients := rapid.IntRange(1, 10*instances).Draw(t, "clients")
		later := time.Duration(rapid.IntRange(0, 9_000).Draw(t, "until Envoy asks, ms")) * time.Millisecond
		lag := time.Duration(rapid.IntRange(1, 120).Draw(t, "until a report, ms")) * time.Millisecond
		now := time.Unix(1_000_000, 0)
		p, all := takenOver(t, now, instances, clients)
		tick := func(until time.Time) {
			for next := p.Next(); !next.IsZero() && !next.After(until); next = p.Next() {
				now = latest(now, next)
				require.Empty(t, p.Tick(now).Start)
				require.NoError(t, p.Check())
			}
			now = until
		}
		tick(now.Add(later))
		for range clients {
			require.Empty(t, p.Acquire(now, &pool.Request{}).Start)
			require.NoError(t, p.Check())
		}
		tick(now.Add(lag))
		for _, i := range all {
			require.Empty(t, p.Report(now, i, i.InFlight(), pool.DefaultDelay).Start)
			require.NoError(t, p.Check())
		}
		require.Zero(t, p.Stats().Waiting, "all are served on what is there")
	})
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// An Envoy that is started again, or whose connections were reset, asks again for what it had asked for. Instances are kept for that,
// for a moment, and not again before something was asked.
func TestIdleInstancesAreKeptForAnEnvoyThatComesBack(t *testing.T) {
	w := story(t, func(s *pool.Settings) { s.Scaling.Policy, s.Scaling.Preference = nil, scaler.Cost })
	asked := w.acquireN(40)
	w.upAll()
	ready := w.p.Stats().Ready
	require.Greater(t, ready, 1)
	w.run(2*time.Second, nil)
	w.did(w.p.Interrupted(w.now))
	w.release(asked...)
	w.run(1400*time.Millisecond, nil)
	require.Equal(t, ready, w.p.Stats().Ready)
	w.did(w.p.Interrupted(w.now))
	w.run(200*time.Millisecond, nil)
	require.Less(t, w.p.Stats().Ready, ready, "nobody has asked since")
}

// Who waits for longer than a report takes needs an instance, and so does who comes beside those who were served before.
func TestWhoWaitsAfterATakeoverIsServed(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p, _ := takenOver(t, now, 2, 20)
	require.Empty(t, p.Acquire(now, &pool.Request{}).Start)
	for p.Stats().Starting == 0 {
		next := p.Next()
		require.Less(t, next.Sub(now), 210*time.Millisecond)
		p.Tick(next)
		require.NoError(t, p.Check())
	}
	p, _ = takenOver(t, now, 1, 4)
	for range 6 {
		p.Acquire(now, &pool.Request{})
	}
	started := 0
	for range 5 {
		started += len(p.Acquire(now, &pool.Request{}).Start)
	}
	require.Equal(t, 1, started, "four may come back: the fifth does not")
}

// What was held while nobody decided is served in the order in which it first came, in whatever order Envoy asks again, and before
// what comes only now. It may wait as long as that, and its wait is told from its beginning.
func TestHeldRequestsKeepTheirPlacesOverATakeover(t *testing.T) {
	for name, instances := range map[string]int{"instances are taken over": 1, "there are none": 0} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1_000_000, 0)
			p, _ := takenOver(t, now, instances, 10*instances)
			ask := func(age time.Duration) *pool.Request {
				r := &pool.Request{Began: now.Add(-age)}
				p.Acquire(now, r)
				require.NoError(t, p.Check())
				require.Equal(t, pool.Waiting, r.State())
				return r
			}
			second, first := ask(4*time.Second), ask(5*time.Second)
			now = now.Add(time.Second)
			fifth, fourth, third := ask(0), ask(time.Millisecond), ask(2*time.Second)

			i, err := p.Adopt(now)
			require.NoError(t, err)
			e := p.Up(now, i, 5)
			require.Equal(t, []*pool.Request{first, second, third, fifth, fourth}, e.Dispatched)
			require.Equal(t, 6*time.Second, first.Waited())
			require.Zero(t, fourth.Waited(), "it came after the takeover, whenever Envoy had it")
		})
	}
}

// A caretaker is asked whenever there is no leader: what the leader held comes to it in any order.
func TestACaretakerKeepsThePlacesOfALeadersRequests(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p, _ := takenOver(t, now, 1, 10)
	ask := func(age time.Duration) *pool.Request {
		r := &pool.Request{Began: now.Add(-age)}
		p.Acquire(now, r)
		require.NoError(t, p.Check())
		require.Equal(t, pool.Waiting, r.State())
		return r
	}
	ask(0)
	for range 600 { // a leader leads
		now = now.Add(100 * time.Millisecond)
		p.Dismiss(now, "elsewhere")
	}
	now = now.Add(time.Second)
	third, first, second := ask(0), ask(5*time.Second), ask(2*time.Second)
	i, err := p.Adopt(now)
	require.NoError(t, err)
	require.Equal(t, []*pool.Request{first, second, third}, p.Up(now, i, 3).Dispatched)
}
