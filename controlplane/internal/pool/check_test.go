package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// TestCheckSees breaks a sound pool in one way at a time: a check that never fails would prove nothing.
func TestCheckSees(t *testing.T) {
	for name, damage := range map[string]func(*Pool){
		"lost index":         func(p *Pool) { p.table[2] = nil },
		"wrong index":        func(p *Pool) { p.table[0].index = 1 },
		"index given twice":  func(p *Pool) { p.freeIndex.add(0) },
		"gone but listed":    func(p *Pool) { p.table[2].state = Gone },
		"too many leases":    func(p *Pool) { p.table[0].slots = 1 },
		"too many slots":     func(p *Pool) { p.table[0].slots = 3 },
		"serves after drain": func(p *Pool) { p.table[0].final = true },
		"not to be leased":   func(p *Pool) { p.open.remove(1, 1) },
		"lease of another":   func(p *Pool) { p.table[0].leases.head.instance = p.table[1] },
		"miscounted leases":  func(p *Pool) { p.table[0].leases.n-- },
		"miscounted streams": func(p *Pool) { p.table[0].leases.head.Stream = true },
		"in-flight":          func(p *Pool) { p.inFlight++ },
		"waiter and slot":    func(p *Pool) { p.queue.push(&Request{state: Waiting}) },
		"stranger in queue":  func(p *Pool) { p.queue.push(&Request{}) },
		"queue miscounted":   func(p *Pool) { p.queue.n = 1 },
		"no start deadline":  func(p *Pool) { p.timers.unset(&p.table[2].deadline) },
		"starts in progress": func(p *Pool) { p.settings.Scaling.StartsInProgress = 0 },
		"above max":          func(p *Pool) { p.settings.Scaling.Max = 1 },
		"started unseen":     func(p *Pool) { p.counters.started++ },
		"failed too often":   func(p *Pool) { p.counters.failed[0] = 9 },
		"replaced for no reason": func(p *Pool) {
			p.table[0].replaced = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := soundPool(t)
			damage(p)
			require.Error(t, p.Check())
		})
	}
}

// soundPool has a full instance, one with a free slot, and one that is starting.
func soundPool(t *testing.T) *Pool {
	p := New(Settings{
		Concurrency: 2, QueueLimit: 9, StartTimeout: time.Minute,
		Scaling: scaler.Settings{Min: 3, Max: 3, StartsInProgress: 3, StartsBurst: 3},
	})
	now := time.Unix(1_000_000, 0)
	p.Tick(now)
	for _, index := range []int{0, 1} {
		p.Up(now, p.table[index], 2)
	}
	for range 3 {
		p.Acquire(now, &Request{})
	}
	require.NoError(t, p.Check())
	return p
}

func TestLabels(t *testing.T) {
	var f Failures
	f.add(scaler.Crashed)
	f.add(scaler.Crashed)
	got := map[Cause]uint64{}
	for cause, n := range f.All() {
		got[cause] = n
	}
	require.Len(t, got, len(scaler.StartCauses))
	require.Equal(t, uint64(2), got[scaler.Crashed])
	require.Equal(t, uint64(2), f.Total())
	require.Equal(t, "draining", Draining.String())
}

// A slow instance that was set aside serves the request for which no other may be started, as it arrives.
func TestWhatWasSetAsideServesWhoArrives(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := New(Settings{Concurrency: 2, QueueLimit: 10, QueueTimeout: time.Minute, Scaling: scaler.Settings{
		Max: 1, StartsInProgress: 1, StartsPerSecond: 1, StartsBurst: 1,
	}})
	first := &Request{}
	i := p.Acquire(now, first).Start[0]
	p.Up(now, i, 2)
	p.Release(now, first)
	p.setSlow(i, true)
	free := i.free()
	i.aside = true
	p.relist(i, free)
	require.NoError(t, p.Check())
	r := &Request{}
	e := p.Acquire(now.Add(time.Millisecond), r)
	require.Equal(t, Leased, r.State())
	require.Empty(t, e.Dispatched, "its state says it")
	require.NoError(t, p.Check())
}
