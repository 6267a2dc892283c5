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

// estateOf is what a relay knows of an instance that has not ended.
func estateOf(i *pool.Instance) pool.Estate {
	return pool.Estate{
		Index: i.Index(), Started: i.Started(), Took: i.Took(), Cold: true, Environment: i.ID, Version: i.Version(), Pin: i.Pin(),
		Price: i.Price(), Adopted: i.Adopted(),
	}
}

// serves tells whether a relay has an instance for one that serves: it does not know who is about to drain.
func serves(i *pool.Instance) bool {
	return i.State() == pool.Ready || i.State() == pool.Draining && i.Slots() > 0
}

// succeed makes a pool that takes over from another: what the relays know is told, as they tell it.
func succeed(t require.TestingT, s pool.Settings, now time.Time, before *pool.Pool) (*pool.Pool, map[*pool.Instance]*pool.Instance) {
	after, heirs := pool.New(s), map[*pool.Instance]*pool.Instance{}
	after.Hold()
	for old := range before.Instances() {
		heir, err := after.Inherit(now, estateOf(old))
		require.NoError(t, err)
		require.NoError(t, after.Check())
		heirs[old] = heir
		if serves(old) {
			after.Up(now, heir, old.Slots())
			after.Report(now, heir, old.InFlight(), pool.DefaultDelay)
		}
		require.NoError(t, after.Check())
	}
	return after, heirs
}

// A pool that takes over leases what the one before could have leased, and starts nothing that is there already.
func TestAPoolTakesOverFromAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		s.Learn, s.Linger = false, 0
		m := newModelOf(t, s)
		actions := m.actions()
		delete(actions, "close")
		t.Repeat(actions)
		s.Scaling.Total = nil              // the one before has died with its claims
		s.Scaling.Preference = scaler.Cost // starts nothing for later
		after, heirs := succeed(t, s, m.now, m.p)
		rotate := 0
		for old, heir := range heirs {
			switch {
			case old.State() == pool.Starting:
				require.Equal(t, pool.Starting, heir.State())
			case serves(old) && heir.State() == pool.Draining:
				rotate++ // it is near its end
			case serves(old):
				require.Equal(t, pool.Ready, heir.State())
				require.Equal(t, old.Slots()-old.InFlight(), heir.Free(), "a slot in use is not leased, and a free one is")
			}
		}
		e := after.Resume(m.now)
		require.NoError(t, after.Check())
		got := after.Stats()
		require.LessOrEqual(t, len(e.Start), rotate+max(0, s.Scaling.Min-got.Ready)+got.Rotating, "nobody waits")
		m.endAll(t, after, heirs)
	})
}

// endAll ends what has been inherited, and asks whether all gauges are zero.
func (m *model) endAll(t *rapid.T, after *pool.Pool, heirs map[*pool.Instance]*pool.Instance) {
	after.Close(m.now, "")
	for i := range after.Instances() {
		after.Down(m.now, i)
		after.Ended(m.now, i, pool.End{})
		require.NoError(t, after.Check())
	}
	st := after.Stats()
	require.Zero(t, st.Live())
	require.Equal(t, len(heirs), int(st.Inherited))
	require.Zero(t, st.Capacity+st.Foreign+st.InFlight)
}

// Requests that the pool before has leased end one by one: their slots are free as soon as the peer says so.
func TestInheritedRequestsFreeTheirSlots(t *testing.T) {
	w := story(t, nil)
	w.acquireN(10)
	w.upAll()
	s := settings()
	s.Scaling.Policy = nil
	after, _ := succeed(t, s, w.now, w.p)
	after.Resume(w.now)
	require.Equal(t, 10, after.Stats().Foreign)
	require.Zero(t, after.Stats().Free)
	now := w.now.Add(50 * time.Millisecond)
	for i := range after.Instances() {
		after.Report(now, i, 7, pool.DefaultDelay)
	}
	require.Equal(t, 3, after.Stats().Free)
}

// Whoever ordered a start may have died before it could invoke anything. Nobody waits for that longer than starts take.
func TestAStartThatNobodyMadeIsNotWaitedForLong(t *testing.T) {
	w := story(t, nil)
	w.acquire()
	after, heirs := succeed(t, settings(), w.now, w.p)
	var orphan *pool.Instance
	for _, heir := range heirs {
		orphan = heir
	}
	after.Resume(w.now)
	r := &pool.Request{}
	require.Empty(t, after.Acquire(w.now, r).Start, "one is on its way")
	began := w.now
	for orphan.State() == pool.Starting {
		next := after.Next()
		require.Less(t, next.Sub(began), 10*time.Second, "far less than the start timeout")
		w.now = next
		after.Tick(w.now)
		require.NoError(t, after.Check())
	}
	require.Equal(t, 1, after.Stats().Starting, "another is made")
	after.Up(w.now, orphan, 10)
	require.Equal(t, pool.Leased, r.State(), "it came up after all")
}

// As many instances as may exist, and none of them was ever invoked: they give way to starts that are wanted, and nobody takes them
// for failed starts. One whose peer waits for its app exists.
func TestStartsThatNobodyMadeGiveWayToOthers(t *testing.T) {
	s := settings()
	s.Concurrency, s.Scaling.Max = 1, 4
	w := newWorld(t, s)
	w.acquireN(4)
	after, heirs := succeed(t, s, w.now, w.p)
	require.Len(t, heirs, 4)
	for _, heir := range heirs {
		heir.AwaitsApp()
		break
	}
	after.Resume(w.now)
	for range 3 {
		after.Acquire(w.now, &pool.Request{})
	}
	var cut []*pool.Instance
	for after.Stats().Starting > 0 {
		w.now = after.Next()
		cut = append(cut, after.Tick(w.now).Kill...)
		require.NoError(t, after.Check())
	}
	require.Len(t, cut, 3)
	started := 0
	for _, i := range cut {
		require.NotContains(t, after.Tick(w.now).Kill, i, "it is cut off once")
		after.Down(w.now, i)
		started += len(after.Ended(w.now, i, pool.End{Cause: scaler.StartTimeout, Lost: true}).Start)
		require.NoError(t, after.Check())
	}
	require.Equal(t, 3, started)
	require.Empty(t, after.Stats().Failed)
}

// A relay may yet obey the leader before, until it hears of the new one: an instance can come late, with an index that one of our own
// has just given back.
func TestAnInstanceThatComesLateTakesAnIndexThatRests(t *testing.T) {
	p, now := pool.New(pool.Settings{Concurrency: 1, Scaling: scaler.Settings{Max: 3}}), time.Unix(1_000_000, 0)
	ours, err := p.Adopt(now)
	require.NoError(t, err)
	p.Ended(now, ours, pool.End{})
	_, err = p.Inherit(now, pool.Estate{Index: ours.Index(), Started: now, Adopted: true})
	require.NoError(t, err)
	next, err := p.Adopt(now.Add(time.Minute))
	require.NoError(t, err)
	require.NotEqual(t, ours.Index(), next.Index())
	require.NoError(t, p.Check())
}

// A request may be on its way that the pool before has leased: an instance that drains is not told to finish before it must have come.
func TestAnInheritedInstanceIsNotToldToFinishTooSoon(t *testing.T) {
	w := story(t, nil)
	lease := w.acquire()
	w.upAll()
	w.release(lease)
	after, heirs := succeed(t, settings(), w.now, w.p)
	after.Resume(w.now)
	for _, heir := range heirs {
		require.Empty(t, after.Drain(w.now, heir, pool.Operator).Finish)
		require.NoError(t, after.Check())
		w.now = w.now.Add(100 * time.Millisecond)
		after.Report(w.now, heir, 1, pool.DefaultDelay) // it has come
		w.now = w.now.Add(time.Second)
		require.Empty(t, after.Tick(w.now).Finish)
		require.Equal(t, []*pool.Instance{heir}, after.Report(w.now, heir, 0, pool.DefaultDelay).Finish)
	}
}

// An environment that is about to freeze is there soon: whoever takes over counts on it like the one before, and makes no new one
// beside it.
func TestWhatFinishesAtATakeoverIsCountedOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		told := rapid.IntRange(1, 5).Draw(t, "told to finish")
		reason := rapid.SampledFrom([]pool.Reason{pool.ScaleIn, pool.Rotation, pool.Rollout}).Draw(t, "reason")
		waiting := rapid.IntRange(1, 10*told).Draw(t, "waiting")
		now := time.Unix(1_000_000, 0)
		s := settings()
		s.Scaling.Policy = nil
		p := pool.New(s)
		p.Hold()
		var finishing []*pool.Instance
		for index := range told {
			i, err := p.Inherit(now, pool.Estate{
				Index: index, Started: now.Add(-time.Minute), Took: time.Second, Cold: true, Environment: fmt.Sprint(index), Told: reason,
			})
			require.NoError(t, err)
			require.Equal(t, reason, i.DrainReason())
			require.NotContains(t, p.Up(now, i, 10).Start, i)
			require.NoError(t, p.Check())
			finishing = append(finishing, i)
		}
		require.Empty(t, p.Resume(now).Start)
		for range waiting {
			require.Empty(t, p.Acquire(now, &pool.Request{}).Start, "an environment will be there sooner than a new one")
			require.NoError(t, p.Check())
		}
		now = now.Add(10 * time.Millisecond)
		for _, i := range finishing {
			for _, next := range p.Ended(now, i, pool.End{}).Start {
				require.True(t, next.Claims(), "it is the frozen one")
			}
		}
		require.NotZero(t, p.Stats().Starting, "they are served")
	})
}

// What the pool before has leased is not known: an inherited instance that leaves by itself has not failed because of it.
func TestAnInheritedInstanceThatLeavesHasNotFailed(t *testing.T) {
	s := settings()
	s.Scaling.Min = 1
	now := time.Unix(1_000_000, 0)
	p := pool.New(s)
	p.Hold()
	i, err := p.Inherit(now, pool.Estate{Started: now.Add(-time.Minute), Took: time.Second, Cold: true, Environment: "e"})
	require.NoError(t, err)
	p.Up(now, i, 10)
	p.Resume(now)
	now = now.Add(time.Second)
	p.Report(now, i, 0, pool.DefaultDelay)
	p.Draining(now, i)
	p.Ended(now, i, pool.End{})
	require.Zero(t, p.Stats().Failed.Total())
	require.Equal(t, 1, p.Stats().Starting, "another takes its place at once")
}

// A relay that has been started again has not heard yet of peers that dial it again. None is replaced before they have had the time.
func TestAnInheritedInstanceMayDialAgain(t *testing.T) {
	const others = 40 // from which it is learned how short starts are
	s := settings()
	s.Scaling.Min, s.Scaling.Max = others+1, 2*others
	now := time.Unix(1_000_000, 0)
	p := pool.New(s)
	p.Hold()
	var last *pool.Instance
	for n := range others + 1 {
		i, err := p.Inherit(now, pool.Estate{
			Index: n, Started: now.Add(-time.Minute), Took: 50 * time.Millisecond, Cold: true, Environment: fmt.Sprint(n),
		})
		require.NoError(t, err)
		if last = i; n < others {
			p.Up(now, i, 10)
			p.Report(now, i, 0, pool.DefaultDelay)
		}
	}
	require.Empty(t, p.Resume(now).Start)
	for range 15 {
		now = now.Add(100 * time.Millisecond)
		require.Empty(t, p.Tick(now).Start)
	}
	p.Up(now, last, 10)
	require.Equal(t, others+1, p.Stats().Ready)
}

// The peer of an inherited instance that was up does not come back: its relay was gone for too long, or it has died. Its start is no failure.
func TestAnInheritedInstanceThatDoesNotComeBackHasNotFailedToStart(t *testing.T) {
	for name, tt := range map[string]struct {
		took   time.Duration
		failed uint64
	}{"it was up": {time.Second, 0}, "it was starting": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1_000_000, 0)
			p := pool.New(settings())
			p.Hold()
			i, err := p.Inherit(now, pool.Estate{Started: now.Add(-time.Minute), Took: tt.took, Cold: true, Environment: "e"})
			require.NoError(t, err)
			p.Resume(now)
			p.Ended(now.Add(3*time.Second), i, pool.End{Cause: scaler.StartTimeout, Lost: true})
			require.EqualValues(t, tt.failed, p.Stats().Failed.Total())
			require.NoError(t, p.Check())
		})
	}
}
