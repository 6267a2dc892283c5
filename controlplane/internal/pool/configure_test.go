package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func (m *model) configure(t *rapid.T) { m.configureTo(drawSettings(t)) }

func (m *model) configureTo(s pool.Settings) {
	s.Scaling.Total = m.s.Scaling.Total
	m.s, m.changed = s, true
	m.apply(m.p.Configure(m.now, s), nil)
}

func (m *model) vacate(*rapid.T) {
	m.apply(m.p.Vacate(m.now, "unknown_function"), nil)
	require.Empty(m.t, m.waiting)
}

// Whatever the settings become, however often, a pool keeps its invariants, and the last ones hold: whoever waits is served, and no
// more instances are there than they allow.
func TestAnySequenceOfConfigurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		actions := m.actions()
		actions["configure"], actions["configure twice"], actions["vacate"] = m.configure, m.configure, m.vacate
		delete(actions, "close")
		delete(actions, "adopt")
		t.Repeat(actions)
		last := drawSettings(t)
		last.Lifetime, last.StartTimeout, last.Scaling.DollarsPerHour = 0, 0, 0
		last.Scaling.Max, last.Scaling.StartsInProgress = max(1, last.Scaling.Max), max(1, last.Scaling.StartsInProgress)
		last.Scaling.StartsBurst, last.Scaling.StartsPerSecond = max(1, last.Scaling.StartsBurst), max(0.3, last.Scaling.StartsPerSecond)
		last.QueueLimit = max(1, last.QueueLimit)
		m.configureTo(last)
		m.apply(m.p.Reach(m.now, true), nil)
		m.behave(t, 3*time.Minute)
		require.Empty(t, m.waiting)
		m.arrive(t)
		m.behave(t, 10*time.Second)
		require.Empty(t, m.waiting)
		require.LessOrEqual(t, m.p.Stats().Live(), last.Scaling.Max+last.Scaling.Surge())
		for _, i := range m.instances {
			require.LessOrEqual(t, i.Slots(), last.Concurrency)
		}
	})
}

// A pool that was given its settings later is no other than one that had them from the beginning.
func TestAConfiguredPoolIsAsAFreshOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, last := drawSettings(t), drawSettings(t)
		last.Seed = first.Seed
		first.Scaling.Total, last.Scaling.Total = nil, nil // what one claims the other could not
		configured, fresh := newModelOf(t, first), newModelOf(t, last)
		if first.Scaling.Min > 0 {
			t.Skip("it has begun to start already")
		}
		configured.configureTo(last)
		configured.tick()
		fresh.tick()
		require.Equal(t, fresh.p.Stats(), configured.p.Stats())
		for range 30 {
			configured.arrive(t)
			fresh.arrive(t)
		}
		configured.upAll(t)
		fresh.upAll(t)
		require.Equal(t, fresh.p.Stats(), configured.p.Stats())
		require.Equal(t, fresh.p.Next(), configured.p.Next())
	})
}

// busyPool is a pool whose instances serve so many requests.
func busyPool(t *testing.T, s pool.Settings, requests int) (*world, []*pool.Request) {
	t.Helper()
	w := newWorld(t, s)
	all := w.acquireN(requests)
	w.upAll()
	require.Equal(t, requests, w.p.Stats().InFlight)
	return w, all
}

func TestFewerSlotsCutNothing(t *testing.T) {
	s := settings()
	s.Concurrency, s.Scaling.Max = 4, 1
	w, all := busyPool(t, s, 4)
	s.Concurrency = 2
	w.did(w.p.Configure(w.now, s))
	require.Equal(t, 4, w.p.Stats().InFlight, "what is served is served to its end")
	require.Equal(t, 2, w.p.Stats().Capacity)
	late := w.acquire()
	for n, r := range all[:3] {
		require.Equal(t, pool.Waiting, late.State(), "%d have ended", n)
		w.release(r)
	}
	require.Equal(t, pool.Leased, late.State())
	s.Concurrency = 9
	w.did(w.p.Configure(w.now, s))
	require.Equal(t, 4, w.p.Stats().Capacity, "its peer takes no more than it was asked for")
}

func TestWaitersWaitNoLongerThanPromisedThenOrNow(t *testing.T) {
	s := settings()
	s.QueueTimeout, s.Scaling.StartsInProgress = 10*time.Second, 0
	w := newWorld(t, s)
	promised := w.acquire()
	s.QueueTimeout = time.Minute
	w.did(w.p.Configure(w.now, s))
	later := w.acquire()
	w.run(10*time.Second, nil)
	require.Equal(t, []pool.RequestState{pool.Evicted, pool.Waiting}, []pool.RequestState{promised.State(), later.State()})
	s.QueueTimeout = 11 * time.Second
	w.did(w.p.Configure(w.now, s))
	require.Equal(t, pool.Waiting, later.State())
	w.run(time.Second, nil)
	require.Equal(t, pool.Evicted, later.State())
}

func TestALowerMaximumDrainsWhatIsBeyondIt(t *testing.T) {
	for name, lower := range map[string]func(*scaler.Settings){
		"max":     func(s *scaler.Settings) { s.Max = 2 },
		"places":  func(s *scaler.Settings) { s.Environments = 2 },
		"dollars": func(s *scaler.Settings) { s.DollarsPerHour = 2.5 * perHour },
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.Concurrency, s.Scaling.Price = 1, scaler.NewPrice(perHour, 0)
			w, all := busyPool(t, s, 5)
			lower(&s.Scaling)
			w.did(w.p.Configure(w.now, s))
			require.Equal(t, 2, w.p.Stats().Ready)
			require.Equal(t, 5, w.p.Stats().InFlight, "what is served is served to its end")
			w.release(all...)
			w.endDrained()
			require.LessOrEqual(t, w.p.Stats().Live(), 2)
		})
	}
}

func TestAVacatedPoolIsOpen(t *testing.T) {
	s := settings()
	s.Concurrency, s.Scaling.Max, s.Lifetime = 1, 1, time.Hour
	w, all := busyPool(t, s, 1)
	waits := w.acquire()
	none := s
	none.Scaling.StartsInProgress = 0
	w.did(w.p.Configure(w.now, none))
	w.did(w.p.Vacate(w.now, "unknown_function"))
	require.Equal(t, pool.Evicted, waits.State())
	require.Equal(t, pool.Cause("unknown_function"), waits.Cause())
	w.run(5*time.Minute, nil)
	require.Equal(t, pool.Leased, all[0].State(), "what is served is served to its end")
	require.Empty(t, w.killed)
	w.release(all...)
	w.endDrained()
	require.Zero(t, w.p.Stats().Live())
	w.did(w.p.Configure(w.now, s))
	again := w.acquire()
	w.upAll()
	require.Equal(t, pool.Leased, again.State())
}
