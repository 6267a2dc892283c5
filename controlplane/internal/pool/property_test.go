package pool_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
)

func drawSettings(t *rapid.T) pool.Settings {
	second := func(name string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most*10).Draw(t, name)) * time.Second / 10
	}
	return pool.Settings{
		Concurrency:  rapid.IntRange(1, 4).Draw(t, "concurrency"),
		Learn:        rapid.Bool().Draw(t, "learn"),
		QueueLimit:   rapid.IntRange(0, 20).Draw(t, "queue limit"),
		QueueTimeout: second("queue timeout", 60),
		FirstByte:    second("first byte", 60),
		StartTimeout: second("start timeout", 20),
		DrainTimeout: second("drain timeout", 10) + time.Millisecond,
		Linger:       rapid.SampledFrom([]time.Duration{0, 0, time.Second, 5 * time.Second}).Draw(t, "linger"),
		Lifetime:     second("lifetime", 30),
		Margin:       pool.Margin{Request: second("margin", 20), Bounded: rapid.Bool().Draw(t, "bounded")},
		Scaling: scaler.Settings{
			Min:              rapid.IntRange(0, 2).Draw(t, "min"),
			Max:              rapid.IntRange(0, 6).Draw(t, "max"),
			Environments:     rapid.SampledFrom([]int{0, 0, 1, 3, 6}).Draw(t, "environments"),
			StartsInProgress: rapid.IntRange(0, 4).Draw(t, "starts in progress"),
			StartsPerSecond:  rapid.SampledFrom([]float64{0, 0.3, 1, 7}).Draw(t, "rate"),
			StartsBurst:      rapid.IntRange(0, 5).Draw(t, "burst"),
			DollarsPerHour:   rapid.SampledFrom([]float64{0, 0.1, 0.25}).Draw(t, "ceiling"),
			Total:            scaler.NewBudget(rapid.SampledFrom([]float64{0, 0.15}).Draw(t, "total")),
			Price:            scaler.NewPrice(perHour, 0.2e-6),
			Preference:       rapid.SampledFrom([]scaler.Preference{scaler.Cost, scaler.Balanced, scaler.Latency}).Draw(t, "preference"),
			Policy:           rapid.SampledFrom([]scaler.Policy{nil, baseline.FollowDemand}).Draw(t, "policy"),
		},
		Seed: rapid.Uint64().Draw(t, "seed"),
	}
}

// perHour is what an instance costs.
const perHour = 0.06

// A model holds what the pool must have told its caller so far, and is asked after every step whether that makes sense.
type model struct {
	t   *rapid.T
	s   pool.Settings
	p   *pool.Pool
	now time.Time

	waiting     []*pool.Request // in order of arrival
	arrived     map[*pool.Request]time.Time
	leased      []*pool.Request
	instances   []*pool.Instance             // not ended
	drainAt     map[*pool.Instance]time.Time // when the drain began, or was hurried
	deadlines   map[*pool.Instance]time.Time
	answered    map[*pool.Instance]time.Time // when a lease on it ended last
	startedWell map[*pool.Instance]bool      // had dialled before they were inherited
	gaveUp      map[*pool.Instance]bool      // drained or timed out: no lease any more
	startedAt   []time.Time
	unclaimed   []time.Time            // of those, the starts for which no frozen environment was there
	lost        []time.Time            // until when instances that were lost may run on
	settling    []time.Time            // until when environments may not be found that have just frozen
	others      map[*pool.Instance]int // requests that somebody else has leased
	answers     uint64
	ended       int
	closed      bool
	still       bool // it has stood still, and has not heard yet what there is
	changed     bool // the settings have been others: bounds of one of them tell nothing
}

func newModel(t *rapid.T) *model { return newModelOf(t, drawSettings(t)) }

func newModelOf(t *rapid.T, s pool.Settings) *model {
	m := &model{
		t: t, s: s, p: pool.New(s), now: time.Unix(1_000_000, 0),
		arrived: map[*pool.Request]time.Time{},
		drainAt: map[*pool.Instance]time.Time{}, deadlines: map[*pool.Instance]time.Time{}, gaveUp: map[*pool.Instance]bool{}, startedWell: map[*pool.Instance]bool{},
		answered: map[*pool.Instance]time.Time{},
	}
	m.apply(m.p.Tick(m.now), nil)
	return m
}

// apply takes an event's effects into the model. arrived is the request that the event brought, if any. A tick that comes late
// may evict the oldest waiters and then serve others.
func (m *model) apply(e *pool.Effects, arrived *pool.Request) {
	for _, r := range e.Evicted {
		require.Equal(m.t, pool.Evicted, r.State())
		require.NotEmpty(m.t, r.Cause())
		if r != arrived {
			m.waiting = without(m.t, m.waiting, r)
		}
	}
	for _, r := range e.Dispatched {
		require.NotEmpty(m.t, m.waiting, "dispatched, but did not wait")
		require.Same(m.t, m.waiting[0], r, "overtaken")
		m.waiting = m.waiting[1:]
		require.False(m.t, m.still, "leased before it is known what is free")
		m.lease(r)
	}
	for _, i := range e.Start {
		require.False(m.t, m.still, "started before it is known what there is")
		require.False(m.t, m.closed)
		m.instances = append(m.instances, i)
		m.startedAt = append(m.startedAt, m.now)
		if !i.Claims() {
			m.unclaimed = append(m.unclaimed, m.now)
		}
	}
	for _, i := range e.Drain {
		require.NotEmpty(m.t, i.DrainReason())
		if i.DrainReason() == pool.ScaleIn && m.s.Scaling.Policy == nil && !m.changed {
			require.False(m.t, m.now.Before(m.lingersUntil(i)), "drained as surplus while its app may be at work")
		}
		m.giveUp(i)
	}
	for _, i := range e.Finish {
		require.True(m.t, m.gaveUp[i])
		ready := i.InFlight() == 0 && !m.now.Before(m.lingersUntil(i))
		require.True(m.t, m.changed || ready || !m.now.Before(m.lastCall(i)), "told to finish too early")
		if i.InFlight() == 0 {
			m.hurry(i)
		}
	}
	for _, i := range e.Kill {
		m.gaveUp[i] = true
		delete(m.deadlines, i)
	}
	if len(e.Start) > 0 && !m.changed {
		m.checkRate()
		m.checkDollars()
	}
	m.check()
}

func (m *model) lease(r *pool.Request) {
	require.Equal(m.t, pool.Leased, r.State())
	require.Contains(m.t, []pool.InstanceState{pool.Ready, pool.Draining}, r.Instance().State(), "another configuration serves and then drains")
	require.False(m.t, m.gaveUp[r.Instance()], "a drained instance got a lease")
	m.leased = append(m.leased, r)
}

// giveUp notes the drain of an instance and the deadline of it: the end of its invocation, as far as it is known.
func (m *model) giveUp(i *pool.Instance) {
	m.gaveUp[i] = true
	if _, ok := m.deadlines[i]; ok || i.State() != pool.Draining {
		return
	}
	m.drainAt[i] = m.now
	m.deadlines[i] = m.now.Add(m.s.DrainTimeout)
	if m.s.Lifetime > 0 && i.Slots() > 0 && !i.Adopted() {
		m.deadlines[i] = i.Started().Add(m.s.Lifetime)
	}
	if m.closed {
		m.hurry(i)
	}
}

// hurry notes that nothing is left of a drain that is worth more than the drain timeout.
func (m *model) hurry(i *pool.Instance) {
	if at, ok := m.deadlines[i]; ok && m.now.Add(m.s.DrainTimeout).Before(at) {
		m.drainAt[i], m.deadlines[i] = m.now, m.now.Add(m.s.DrainTimeout)
	}
}

// lingersUntil is until when an instance is kept after its last lease.
func (m *model) lingersUntil(i *pool.Instance) time.Time {
	at, ok := m.answered[i]
	if !ok {
		return time.Time{}
	}
	return at.Add(m.s.Linger)
}

// lastCall is the earliest time at which an instance with leases may be told to finish.
func (m *model) lastCall(i *pool.Instance) time.Time {
	at, by := m.drainAt[i], m.deadlines[i]
	return at.Add(by.Sub(at) / 2)
}

func without[T comparable](t require.TestingT, s []T, v T) []T {
	k := slices.Index(s, v)
	require.GreaterOrEqual(t, k, 0)
	return slices.Delete(s, k, k+1)
}

func (m *model) check() {
	require.NoError(m.t, m.p.Check())
	st := m.p.Stats()
	require.Equal(m.t, len(m.waiting), st.Waiting)
	require.Equal(m.t, len(m.leased), st.InFlight)
	require.Equal(m.t, len(m.instances), st.Live())
	require.Equal(m.t, len(m.startedAt), int(st.Started))
	require.Equal(m.t, m.ended, int(st.Ended))
	m.checkEnvironments()
	for _, r := range m.waiting {
		require.Equal(m.t, pool.Waiting, r.State())
	}
	for _, i := range m.instances {
		if i.State() == pool.Ready {
			require.False(m.t, len(m.waiting) > 0 && i.Free() > 0 && !m.still, "a waiter beside a free slot")
			require.Contains(m.t, []int{0, max(0, i.Slots()-i.InFlight()-i.Foreign())}, i.Free())
		}
	}
}

// checkRate checks every window that ends now. It is called when something was started.
func (m *model) checkRate() {
	for k, from := range m.unclaimed {
		allowed := float64(m.s.Scaling.StartsBurst) + m.s.Scaling.StartsPerSecond*m.now.Sub(from).Seconds()
		if n := len(m.unclaimed) - k; float64(n) > allowed+1e-9 {
			m.t.Fatalf("%d starts in %v, allowed %v", n, m.now.Sub(from), allowed)
		}
	}
}

// checkEnvironments counts the environments that exist if Lambda makes a new one only when it finds none that is frozen.
func (m *model) checkEnvironments() {
	if m.s.Scaling.Environments == 0 || m.changed {
		return
	}
	past := func(until time.Time) bool { return !m.now.Before(until) }
	m.lost, m.settling = slices.DeleteFunc(m.lost, past), slices.DeleteFunc(m.settling, past)
	n := len(m.lost) + len(m.settling)
	for _, i := range m.instances {
		if !i.Adopted() {
			n++
		}
	}
	require.LessOrEqual(m.t, n, m.s.Scaling.Environments)
}

// checkDollars checks what is spent right now, those included of which nobody knows whether they run.
func (m *model) checkDollars() {
	running := 0
	for _, i := range m.instances {
		if !i.Adopted() {
			running++
		}
	}
	m.lost = slices.DeleteFunc(m.lost, func(until time.Time) bool { return !m.now.Before(until) })
	spending := float64(running+len(m.lost)) * perHour
	if ceiling := m.s.Scaling.DollarsPerHour; ceiling > 0 {
		require.LessOrEqual(m.t, spending, ceiling)
	}
	if m.s.Scaling.Total.Bounded() {
		require.LessOrEqual(m.t, spending, m.s.Scaling.Total.PerHour(m.now)+1e-9)
		require.LessOrEqual(m.t, spending, 0.15)
	}
}

func (m *model) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"arrive":    m.arrive,
		"burst":     func(t *rapid.T) { repeat(t, 12, m.arrive) },
		"cancel":    m.cancel,
		"refuse":    m.refuse,
		"release":   m.release,
		"up":        m.up,
		"up all":    m.upAll,
		"dialled":   m.dialled,
		"reach":     m.reach,
		"relay":     m.relay,
		"away":      m.away,
		"still":     m.standStill,
		"resume":    m.resume,
		"down":      m.down,
		"end":       m.end,
		"fail":      m.fail,
		"lose":      m.lose,
		"retry":     m.retry,
		"report":    m.report,
		"honest":    m.honest,
		"drain":     m.drain,
		"peerDrain": m.peerDrain,
		"adopt":     m.adopt,
		"obey":      m.obey,
		"pass":      m.pass,
		"jump":      m.jump,
		"close":     m.close,
		"route":     m.route,
		"renew":     m.renew,
		"abort":     m.abort,
		"unpin":     m.unpin,
		"vanished":  m.vanished,
		"answer":    m.answer,
		"worn":      m.worn,
	}
}

func repeat(t *rapid.T, most int, f func(*rapid.T)) {
	for range rapid.IntRange(1, most).Draw(t, "times") {
		f(t)
	}
}

func (m *model) arrive(t *rapid.T) {
	began := m.now.Add(-rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, time.Second, time.Hour}).Draw(t, "held elsewhere for"))
	r := &pool.Request{Stream: rapid.Bool().Draw(t, "stream"), Deadly: rapid.Bool().Draw(t, "deadly"), Began: began}
	before := m.p.Stats()
	free := before.Free
	if m.still {
		free = 0
	}
	e := m.p.Acquire(m.now, r)
	m.arrived[r] = r.Arrived()
	require.False(t, r.Arrived().Before(began) || r.Arrived().After(m.now))
	switch r.State() {
	case pool.Leased:
		opened := m.p.Stats().Capacity - before.Capacity // because new code need not be spared any more
		require.Positive(m.t, max(free, opened))
		require.Empty(m.t, e.Dispatched)
		require.Empty(m.t, m.waiting, "overtook a waiter")
		m.lease(r)
	case pool.Waiting:
		m.rejoin(r)
	default:
		require.NotEmpty(m.t, r.Cause())
		require.Zero(m.t, free, "refused beside a free slot")
	}
	m.apply(e, r)
}

// refuse has the instance of a leased request refuse it: it comes back, before or after its lease has been released.
func (m *model) refuse(t *rapid.T) {
	if len(m.leased) == 0 {
		t.Skip("nothing is leased")
	}
	old := rapid.SampledFrom(m.leased).Draw(t, "refused")
	r := &pool.Request{Stream: rapid.Bool().Draw(t, "stream"), Deadly: rapid.Bool().Draw(t, "deadly"), Began: m.arrived[old]}
	back := pool.Refusal{By: old.Instance()}
	release := func() {
		m.leased = without(t, m.leased, old)
		m.apply(m.p.Release(m.now, old), nil)
	}
	if before := rapid.Bool().Draw(t, "released before"); before {
		release()
	} else {
		back.Lease = old
		defer release()
	}
	e := m.p.Return(m.now, r, back)
	m.arrived[r] = r.Arrived()
	switch r.State() {
	case pool.Leased:
		require.Empty(t, m.waiting)
		require.NotSame(t, back.By, r.Instance(), "sent to where it was refused")
		m.lease(r)
	case pool.Waiting:
		m.rejoin(r)
	default:
		require.Equal(t, pool.Rejected, r.State())
		require.NotEmpty(t, r.Cause())
		require.True(t, r.Cause() != pool.Overload || m.s.QueueLimit == 0, "it may wait")
	}
	m.apply(e, r)
}

func (m *model) rejoin(r *pool.Request) {
	k := slices.IndexFunc(m.waiting, func(w *pool.Request) bool { return m.arrived[w].After(m.arrived[r]) })
	if k < 0 {
		k = len(m.waiting)
	}
	m.waiting = slices.Insert(m.waiting, k, r)
}

func (m *model) cancel(t *rapid.T) {
	if len(m.waiting) == 0 {
		t.Skip("nobody waits")
	}
	r := rapid.SampledFrom(m.waiting).Draw(t, "waiter")
	m.waiting = without(t, m.waiting, r)
	m.apply(m.p.Release(m.now, r), nil)
	require.Equal(t, pool.Done, r.State())
}

func (m *model) release(t *rapid.T) {
	if len(m.leased) == 0 {
		t.Skip("nothing is leased")
	}
	r := rapid.SampledFrom(m.leased).Draw(t, "lease")
	m.leased = without(t, m.leased, r)
	m.free(r)
	before := m.p.Stats()
	m.apply(m.p.Release(m.now, r), nil)
	require.Equal(t, before, m.p.Stats(), "the second release changed something")
}

// free ends a lease.
func (m *model) free(r *pool.Request) {
	m.answered[r.Instance()] = m.now
	m.apply(m.p.Release(m.now, r), nil)
}

func (m *model) some(t *rapid.T, states ...pool.InstanceState) *pool.Instance {
	var fit []*pool.Instance
	for _, i := range m.instances {
		if len(states) == 0 || slices.Contains(states, i.State()) {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		t.Skip("no such instance")
	}
	return rapid.SampledFrom(fit).Draw(t, "instance")
}

func drawPlan(t *rapid.T) rollout.Plan {
	return rollout.Plan{
		Steps:     [][]float64{nil, {0.5}, {0.1, 0.5, 1}}[rapid.IntRange(0, 2).Draw(t, "steps")],
		Hold:      time.Duration(rapid.IntRange(0, 20).Draw(t, "hold")) * time.Second,
		MaxErrors: rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "errors"),
		Known:     rapid.Bool().Draw(t, "known"),
	}
}

func (m *model) route(t *rapid.T) {
	to := rapid.SampledFrom([]pool.Route{
		{}, {Version: "1"}, {Version: "2"}, {Version: "1", Extra: "2", Share: 0.3}, {Version: "3", Extra: "2", Share: 0.9},
	}).Draw(t, "route")
	m.apply(m.p.Route(m.now, to, drawPlan(t), rapid.Bool().Draw(t, "forced")), nil)
}

func (m *model) renew(t *rapid.T) {
	m.apply(m.p.Renew(m.now, drawPlan(t), rapid.Bool().Draw(t, "changed")), nil)
}

func (m *model) unpin(t *rapid.T) {
	m.apply(m.p.Unpin(m.now, rapid.Bool().Draw(t, "denied")), nil)
}

func (m *model) vanished(t *rapid.T) {
	m.apply(m.p.Vanished(m.now, rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "version")), nil)
}

func (m *model) abort(*rapid.T) {
	e, _ := m.p.AbortRollout(m.now)
	m.apply(e, nil)
}

func (m *model) worn(t *rapid.T) { m.apply(m.p.Worn(m.now, m.some(t)), nil) }

func (m *model) answer(t *rapid.T) {
	i := m.some(t)
	m.answers += 50
	m.p.Answered(i, m.answers, m.answers/rapid.Uint64Range(1, 50).Draw(t, "one of"))
}

func (m *model) up(t *rapid.T) {
	i := m.some(t)
	i.Runs(rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "version"))
	i.In(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "environment"))
	if rapid.Bool().Draw(t, "reused") {
		i.Reused()
	}
	if rapid.Bool().Draw(t, "counts") {
		i.Counts()
	}
	m.apply(m.p.Up(m.now, i, rapid.IntRange(0, 6).Draw(t, "slots")), nil)
	require.False(t, m.gaveUp[i] && i.State() == pool.Ready)
}

func (m *model) upAll(*rapid.T) {
	for _, i := range slices.Clone(m.instances) {
		if i.State() == pool.Starting {
			m.apply(m.p.Up(m.now, i, m.s.Concurrency), nil)
		}
	}
}

func (m *model) dialled(t *rapid.T) { m.apply(m.p.Dialled(m.now, m.some(t)), nil) }

// reach lets the last Envoy go, or one come.
func (m *model) reach(t *rapid.T) {
	m.apply(m.p.Reach(m.now, rapid.Bool().Draw(t, "reachable")), nil)
}

func (m *model) relay(t *rapid.T) {
	m.apply(m.p.Relay(m.now, rapid.Bool().Draw(t, "attached")), nil)
}

func (m *model) away(t *rapid.T) {
	i := m.some(t)
	drains := i.State() == pool.Draining
	m.apply(m.p.Away(m.now, i), nil)
	require.Equal(t, drains, i.State() == pool.Draining, "what it has in flight is gone, and its end comes")
	require.NotEqual(t, pool.Ready, i.State())
}

func (m *model) standStill(*rapid.T) {
	m.still = true
	m.apply(m.p.StoodStill(m.now), nil)
}

func (m *model) resume(*rapid.T) {
	m.still = false
	m.apply(m.p.Resume(m.now), nil)
}

func (m *model) down(t *rapid.T) {
	i := m.some(t)
	delete(m.deadlines, i)
	m.apply(m.p.Down(m.now, i), nil)
}

func (m *model) end(t *rapid.T) { m.endOne(m.some(t), "") }

func (m *model) fail(t *rapid.T) {
	cause := rapid.SampledFrom(scaler.StartCauses[:]).Draw(t, "cause")
	failed := m.p.Stats().Failed.Total()
	i := m.some(t, pool.Starting)
	m.endOne(i, cause)
	if !i.Adopted() && !m.startedWell[i] {
		failed++
	}
	require.Equal(t, failed, m.p.Stats().Failed.Total())
}

// lose ends an instance that may run on where nobody sees it.
func (m *model) lose(t *rapid.T) {
	i := m.some(t, pool.Starting)
	if !i.Adopted() {
		m.lost = append(m.lost, m.now.Add(m.s.StartTimeout))
	}
	m.endAs(i, pool.End{Cause: scaler.Network, Lost: true})
}

func (m *model) retry(*rapid.T) {
	m.apply(m.p.Retry(m.now), nil)
	require.Empty(m.t, m.p.Stats().Blocked.Cause)
}

func (m *model) endOne(i *pool.Instance, cause pool.Cause) { m.endAs(i, pool.End{Cause: cause}) }

func (m *model) endAs(i *pool.Instance, end pool.End) {
	m.instances = without(m.t, m.instances, i)
	m.ended++
	delete(m.deadlines, i)
	if !end.Lost && !i.Adopted() {
		m.settling = append(m.settling, m.now.Add(100*time.Millisecond))
	}
	m.apply(m.p.Ended(m.now, i, end), nil)
	m.apply(m.p.Ended(m.now, i, end), nil)
	require.Equal(m.t, pool.Gone, i.State())
}

// report is what a peer says, which may be anything.
func (m *model) report(t *rapid.T) {
	delay := time.Duration(rapid.IntRange(0, 200).Draw(t, "delay")) * time.Millisecond
	m.apply(m.p.Report(m.now, m.some(t), rapid.IntRange(0, 6).Draw(t, "in flight"), delay), nil)
}

// honest is the report of peers on which nothing runs but what was leased.
func (m *model) honest(*rapid.T) {
	for _, i := range m.instances {
		m.apply(m.p.Report(m.now, i, i.InFlight()+m.others[i], pool.DefaultDelay), nil)
	}
}

func (m *model) drain(t *rapid.T) {
	m.apply(m.p.Drain(m.now, m.some(t), pool.Operator), nil)
}

func (m *model) peerDrain(t *rapid.T) {
	i := m.some(t, pool.Starting, pool.Ready)
	e := m.p.Draining(m.now, i)
	m.giveUp(i)
	m.apply(e, nil)
}

func (m *model) adopt(t *rapid.T) {
	i, err := m.p.Adopt(m.now)
	if err != nil {
		require.Nil(t, i)
		return
	}
	m.instances = append(m.instances, i)
	m.check()
}

// obey is what healthy peers do: whoever is drained and idle ends.
func (m *model) obey(*rapid.T) {
	for _, i := range slices.Clone(m.instances) {
		if i.State() == pool.Draining && i.InFlight() == 0 || i.State() == pool.Down {
			m.endOne(i, "")
		}
	}
}

// pass lets time pass with every tick in time.
func (m *model) pass(t *rapid.T) {
	m.passFor(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
}

func (m *model) passFor(d time.Duration) {
	end := m.now.Add(d)
	for n := 0; ; n++ {
		require.Less(m.t, n, 10_000, "ticks without end")
		next := m.p.Next()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(m.now) {
			m.now = next
		}
		m.tick()
	}
	m.now = end
	m.tick()
}

// jump is a tick that comes late, or a clock that runs backwards.
func (m *model) jump(t *rapid.T) {
	d := time.Duration(rapid.IntRange(-5, 100).Draw(t, "s")) * time.Second
	if d < 0 {
		m.apply(m.p.Tick(m.now.Add(d)), nil)
		return
	}
	m.now = m.now.Add(d)
	m.tick()
}

func (m *model) tick() {
	m.apply(m.p.Tick(m.now), nil)
	for i, at := range m.deadlines {
		require.True(m.t, m.changed || m.now.Before(at), "instance %d outlived its drain", i.Index())
	}
	for _, i := range m.instances {
		if i.State() == pool.Ready && !i.Adopted() && m.s.Lifetime > 0 && !m.changed {
			require.Less(m.t, m.now.Sub(i.Started()), m.s.Lifetime)
		}
	}
	if next := m.p.Next(); !next.IsZero() {
		require.True(m.t, next.After(m.now), "a tick leaves nothing due")
	}
}

func (m *model) close(t *rapid.T) {
	if rapid.IntRange(0, 20).Draw(t, "really") > 0 {
		t.Skip("seldom")
	}
	m.closed = true
	for i := range m.deadlines {
		m.hurry(i)
	}
	m.apply(m.p.Close(m.now, ""), nil)
	require.Empty(t, m.waiting)
}

// rest ends everything, and asks whether all gauges are zero.
func (m *model) rest() {
	m.resume(m.t)
	m.closed = true
	m.apply(m.p.Close(m.now, ""), nil)
	for len(m.leased) > 0 {
		r := m.leased[0]
		m.leased = m.leased[1:]
		m.free(r)
	}
	for len(m.instances) > 0 {
		m.endOne(m.instances[0], "")
	}
	st := m.p.Stats()
	require.Equal(m.t, int(st.Ended), int(st.Started+st.Adopted+st.Inherited), "every start ends once")
	st.Started, st.Adopted, st.Inherited, st.Ended, st.Failed, st.Returned, st.Frozen, st.Blocked, st.Concurrency = 0, 0, 0, 0, pool.Failures{}, 0, 0, scaler.Block{}, 0
	require.Equal(m.t, pool.Stats{}, st)
	require.True(m.t, m.p.Next().IsZero(), "nothing is left to do")
	require.Zero(m.t, m.s.Scaling.Total.PerHour(m.now.Add(time.Hour)), "every claim is given back")
}

func TestAnySequenceOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(m.actions())
		m.rest()
	})
}

// Whatever happened before, a pool whose instances and Envoy behave from now on serves whoever waits.
func TestRecovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		if m.s.Scaling.Never() || m.s.Scaling.StartsPerSecond == 0 || m.s.QueueLimit == 0 {
			t.Skip("nothing can start")
		}
		actions := m.actions()
		delete(actions, "close")
		delete(actions, "adopt")
		t.Repeat(actions)
		m.behave(t, 60*time.Second)
		require.Empty(t, m.waiting)

		m.arrive(t)
		m.behave(t, 10*time.Second)
		require.Empty(t, m.waiting)
		require.LessOrEqual(t, m.p.Stats().Live(), m.s.Scaling.Max+m.s.Scaling.Surge())
	})
}

// behave lets time pass with an Envoy, and instances that come up at once, serve, and end when they are drained.
func (m *model) behave(t *rapid.T, d time.Duration) {
	m.apply(m.p.Reach(m.now, true), nil)
	m.apply(m.p.Relay(m.now, true), nil)
	m.resume(t)
	for end := m.now.Add(d); m.now.Before(end); {
		m.upAll(t)
		for len(m.leased) > 0 {
			r := m.leased[0]
			m.leased = m.leased[1:]
			m.free(r)
		}
		m.honest(t)
		m.answers++
		for _, i := range m.instances {
			m.p.Answered(i, m.answers, 0)
		}
		m.obey(t)
		next := m.p.Next()
		if soon := m.now.Add(time.Second); next.IsZero() || next.After(soon) {
			next = soon
		}
		if next.After(m.now) {
			m.now = next
		}
		m.tick()
	}
	m.upAll(t)
}

// Whatever happened before, a rollout whose instances behave comes to an end, and then all run what it was to bring.
func TestRolloutsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		s.Lifetime, s.StartTimeout, s.Scaling.DollarsPerHour, s.Scaling.Total = 0, 0, 0, nil // there is room and time
		s.Scaling.Environments = 0
		s.Scaling.Max, s.Scaling.StartsInProgress = max(1, s.Scaling.Max), max(1, s.Scaling.StartsInProgress)
		s.Scaling.StartsBurst, s.Scaling.StartsPerSecond = max(1, s.Scaling.StartsBurst), max(0.3, s.Scaling.StartsPerSecond)
		m := newModelOf(t, s)
		actions := m.actions()
		delete(actions, "close")
		delete(actions, "adopt")
		t.Repeat(actions)
		to := rapid.SampledFrom([]pool.Route{
			{Version: "7"}, {Version: "7", Extra: "8", Share: 0.1}, {Version: "7", Extra: "8", Share: 0.6}, {Version: "1", Extra: "7", Share: 0.3},
		}).Draw(t, "to")
		m.apply(m.p.Route(m.now, to, drawPlan(t), true), nil)
		m.behave(t, 3*time.Minute)
		g := m.p.Rollout()
		require.Equal(t, to, m.p.Routed(), "%s %s, wants %d, fresh %d + %d, old %d, failures %d, blocked %+v",
			g.Phase, g.Cause, g.Want, g.Fresh, g.Starting, g.Old, g.Failures, m.p.Stats())
		for i := range m.p.Instances() {
			if i.State() == pool.Ready && i.Version() != "" { // of the others nobody knows better
				require.Contains(t, []string{to.Version, to.Extra}, i.Version())
			}
		}
	})
}

// Under endless failures of any kind, starts are bounded by the requests, however long they wait.
func TestEndlessFailuresAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		if m.s.Scaling.Min > 0 {
			t.Skip("min is tried for ever")
		}
		arrivals := 0
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) { m.arrive(t); arrivals++ },
			"cancel": m.cancel,
			"pass":   m.pass,
			"fail":   m.fail,
			"lose":   m.lose,
			"obey":   m.obey,
			"": func(t *rapid.T) {
				require.LessOrEqual(t, len(m.startedAt), scaler.Attempts*arrivals)
			},
		})
	})
}
