package pool_test

import (
	"container/heap"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

const ms = time.Millisecond

// A peerModel is an instance's peer, its leases, and the way of its reports, on a clock of its own.
type peerModel struct {
	watch pool.Foreign
	now   time.Time
	todo  todo
	made  int

	leases, working int
	silentIfEqual   bool // older peers do not repeat a number
	told            int
	tellAt, toldAt  time.Time
	delay           func() time.Duration // of reports, at most bound
	bound           time.Duration
	each            func()
}

type step struct {
	at    time.Time
	order int
	do    func()
}

// todo is a heap of steps.
type todo []step

func (h todo) Len() int { return len(h) }
func (h todo) Less(a, b int) bool {
	return h[a].at.Before(h[b].at) || h[a].at.Equal(h[b].at) && h[a].order < h[b].order
}
func (h todo) Swap(a, b int) { h[a], h[b] = h[b], h[a] }
func (h *todo) Push(x any)   { *h = append(*h, x.(step)) }
func (h *todo) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func newPeerModel() *peerModel {
	p := &peerModel{now: time.Unix(1_000_000, 0), bound: pool.DefaultDelay}
	p.delay = func() time.Duration { return p.bound / 2 }
	p.watch.Begin(p.now, 0, true)
	return p
}

func (p *peerModel) after(d time.Duration, do func()) {
	p.made++
	heap.Push(&p.todo, step{p.now.Add(d), p.made, do})
}

// run carries out what is due, and ends at that time.
func (p *peerModel) run(d time.Duration) {
	end := p.now.Add(d)
	for len(p.todo) > 0 && !p.todo[0].at.After(end) {
		s := heap.Pop(&p.todo).(step)
		p.now = s.at
		s.do()
		if p.each != nil {
			p.each()
		}
	}
	p.now = end
}

func (p *peerModel) slots() int { return p.watch.Slots(p.now) }

// serve is a request from its lease on: its way there, its work and its way back. One whose client leaves loses its lease
// before the work is done.
func (p *peerModel) serve(there, work, back time.Duration, leaves time.Duration) {
	p.lease(1)
	p.after(there, func() { p.count(1) })
	p.after(there+work, func() { p.count(-1) })
	if leaves > 0 {
		p.after(leaves, func() { p.lease(-1) })
	} else {
		p.after(there+work+back, func() { p.lease(-1) })
	}
}

func (p *peerModel) lease(n int) {
	p.leases += n
	p.watch.Leases(p.now, p.leases)
}

// count is a change at the peer, which it reports at once or 100 ms after its last report.
func (p *peerModel) count(n int) {
	p.working += n
	if p.tellAt.After(p.now) {
		return
	}
	p.tellAt = p.toldAt.Add(100 * ms)
	if p.tellAt.Before(p.now) {
		p.tellAt = p.now
	}
	p.after(p.tellAt.Sub(p.now), p.tell)
}

func (p *peerModel) tell() {
	p.toldAt = p.now
	n := p.working
	if p.silentIfEqual && n == p.told {
		return
	}
	p.told = n
	p.after(p.delay(), func() { p.watch.Report(p.now, n, p.bound) })
}

func drawMillis(t *rapid.T, name string, most int) time.Duration {
	return time.Duration(rapid.IntRange(0, most*10).Draw(t, name)) * ms / 10
}

// Whatever requests come and however long they take, leases alone make no slot foreign: not with reports that are late,
// nor with a peer that does not repeat a number.
func TestLeasesAloneAreNeverForeign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPeerModel()
		p.silentIfEqual = rapid.Bool().Draw(t, "silent if equal")
		p.bound = drawMillis(t, "bound", 60)
		p.delay = func() time.Duration { return min(p.bound, drawMillis(t, "delay", 60)) }
		p.each = func() { require.Zero(t, p.slots()) }
		for range rapid.IntRange(1, 150).Draw(t, "requests") {
			p.serve(drawMillis(t, "there", 8), drawMillis(t, "work", 400), drawMillis(t, "back", 8), 0)
			p.run(drawMillis(t, "pause", rapid.SampledFrom([]int{3, 30, 500}).Draw(t, "pauses")))
		}
		p.run(2 * time.Second)
		require.Zero(t, p.slots())
	})
}

// Clients that leave an app which works on make foreign slots, within half a second and for exactly as long as the work
// lasts, but for the report's way.
func TestWorkWithoutALeaseIsForeign(t *testing.T) {
	for _, silent := range []bool{false, true} {
		p := newPeerModel()
		p.silentIfEqual = silent
		for range 9 {
			p.serve(ms, 10*time.Second, ms, time.Second)
		}
		p.serve(ms, 10*time.Second, ms, 0)
		p.run(time.Second)
		require.Zero(t, p.slots(), "they have only just left")
		next := p.watch.Next(p.now)
		require.False(t, next.IsZero())
		for !next.IsZero() {
			require.True(t, next.After(p.now))
			p.run(next.Sub(p.now))
			next = p.watch.Next(p.now)
		}
		require.Equal(t, 9, p.slots())
		require.Less(t, p.now.Sub(time.Unix(1_000_000, 0)), 1500*ms)
		p.run(5 * time.Second)
		require.Equal(t, 9, p.slots())
		p.run(5 * time.Second)
		require.Zero(t, p.slots())
	}
}

// Beside foreign slots others are in use. What is found then is never too much, and not much too little.
func TestForeignSlotsBesideOthersInUse(t *testing.T) {
	for _, work := range []time.Duration{5 * ms, 50 * ms, 500 * ms} {
		p := newPeerModel()
		for range 5 {
			p.serve(ms, 30*time.Second, ms, 100*ms)
		}
		p.run(500 * ms)
		sum, n := 0, 0
		p.each = func() {
			require.LessOrEqual(t, p.slots(), 5)
			sum += p.slots()
			n++
		}
		for end := p.now.Add(20 * time.Second); p.now.Before(end); p.run(work / 3) { // three of five are in use
			p.serve(ms, work, ms, 0)
		}
		require.Greater(t, float64(sum)/float64(n), 2.5, "of 5, with requests of %v", work)
	}
}

func TestARefusalCountsAtOnce(t *testing.T) {
	p := newPeerModel()
	for range 6 {
		p.serve(ms, 10*time.Second, ms, 100*ms)
	}
	p.run(150 * ms)
	for range 4 {
		p.serve(ms, 10*time.Second, ms, 0)
	}
	p.run(50 * ms)
	p.lease(1) // the fifth that the pool holds for free
	require.Zero(t, p.slots())
	p.lease(-1)
	p.watch.Refused(p.now, 10, p.leases)
	require.Equal(t, 6, p.slots())
	p.run(3 * time.Second)
	require.Equal(t, 6, p.slots(), "and reports do not take it back")
}

// After a takeover nobody knows what the leases of before have left behind.
func TestAFirstReportCountsAtOnceAfterATakeover(t *testing.T) {
	var f pool.Foreign
	now := time.Unix(1_000_000, 0)
	f.Begin(now, 2, false)
	require.Zero(t, f.Slots(now))
	now = now.Add(ms)
	f.Report(now, 7, pool.DefaultDelay)
	require.Equal(t, 5, f.Slots(now))
	f.Begin(now, 2, true)
	f.Report(now, 7, pool.DefaultDelay)
	require.Zero(t, f.Slots(now))
}

func TestReportsMayComeAllAtOnce(t *testing.T) {
	var f pool.Foreign
	now := time.Unix(1_000_000, 0)
	f.Begin(now, 0, false)
	for n := range 1000 {
		f.Report(now, n, 0)
	}
	require.LessOrEqual(t, f.Slots(now), 999)
	f.Report(now.Add(time.Second), 0, time.Hour)
	require.Zero(t, f.Slots(now.Add(time.Second)))
}
