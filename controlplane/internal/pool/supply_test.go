package pool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// What starts take in a lab, and the end of an instance that was told to finish.
const (
	labWarm   = 30 * time.Millisecond
	labFinish = 8 * time.Millisecond
	// labOverdue is how long a start may be taken for a warm one that is none.
	labOverdue = 160 * time.Millisecond
)

// A lab is a pool beside a Lambda of constant times, whose environments never expire. It runs the environment that froze
// last, and makes a new one when none is frozen.
type lab struct {
	t        require.TestingT
	settings pool.Settings
	p        *pool.Pool
	now      time.Time
	cold     time.Duration
	later    []labEvent // by time
	waiting  []*labRequest
	frozen   []int // environments
	made     int
	starts   int
	billed   time.Duration
	spare    time.Time // since when an environment is frozen and a start is allowed; zero: none is, or not allowed
	done     int
	longest  time.Duration   // wait
	check    func(*lab)      // after every event
	freezes  time.Duration   // from an environment's last answer until Lambda finds it
	reaches  []time.Duration // from a start until Lambda has it, one after the other; those that were made together may pass each other
	outage   bool            // no Envoy is there: who comes up is held until it is over
	held     map[*pool.Instance]bool
}

type labEvent struct {
	at time.Time
	do func()
}

type labRequest struct {
	pool.Request
	came    time.Time
	service time.Duration
}

// labSettings are the server's own for a function, with everything else out of the way.
func labSettings(p scaler.Preference, concurrency int) pool.Settings {
	s := settings()
	s.Concurrency, s.QueueTimeout, s.StartTimeout = concurrency, 0, time.Minute
	s.Scaling.Preference, s.Scaling.Policy = p, nil
	s.Scaling.StartsPerSecond, s.Scaling.StartsBurst, s.QueueLimit = 50, 100, 10_000
	return s
}

func newLab(t require.TestingT, s pool.Settings, cold time.Duration) *lab {
	l := &lab{t: t, settings: s, p: pool.New(s), now: time.Unix(1_000_000, 0), cold: cold, held: map[*pool.Instance]bool{}}
	l.did(l.p.Tick(l.now))
	return l
}

func (l *lab) after(d time.Duration, do func()) {
	e := labEvent{l.now.Add(d), do}
	k, _ := slices.BinarySearchFunc(l.later, e, func(a, b labEvent) int {
		if a.at.After(b.at) {
			return 1
		}
		return -1
	})
	l.later = slices.Insert(l.later, k, e)
}

// send lets n requests come, apart from each other.
func (l *lab) send(in time.Duration, n int, apart, service time.Duration) {
	for k := range n {
		l.after(in+time.Duration(k)*apart, func() { l.arrive(service) })
	}
}

func (l *lab) arrive(service time.Duration) {
	r := &labRequest{came: l.now, service: service}
	r.Owner = r
	e := l.p.Acquire(l.now, &r.Request)
	switch r.State() {
	case pool.Leased:
		l.serve(r)
	case pool.Waiting:
		l.waiting = append(l.waiting, r)
	}
	l.did(e)
}

func (l *lab) serve(r *labRequest) {
	l.longest = max(l.longest, l.now.Sub(r.came))
	l.after(r.service, func() {
		l.done++
		l.did(l.p.Release(l.now, &r.Request))
	})
}

func (l *lab) did(e *pool.Effects) {
	starts, finish := slices.Clone(e.Start), slices.Clone(e.Finish)
	for _, r := range e.Dispatched {
		require.Same(l.t, l.waiting[0], r.Owner)
		l.waiting = l.waiting[1:]
		l.serve(r.Owner.(*labRequest))
	}
	for _, i := range starts {
		l.start(i)
	}
	for _, i := range finish {
		l.after(labFinish, func() { l.end(i) })
	}
	l.look()
}

func (l *lab) start(i *pool.Instance) {
	l.starts++
	if n := len(l.reaches); n > 0 {
		l.after(l.reaches[l.starts%n], func() { l.invoked(i); l.look() })
		return
	}
	l.invoked(i)
}

func (l *lab) invoked(i *pool.Instance) {
	took, environment := l.cold, 0
	reused := len(l.frozen) > 0
	if n := len(l.frozen); reused {
		took, environment, l.frozen = labWarm, l.frozen[n-1], l.frozen[:n-1]
	} else {
		l.made++
		environment = l.made
	}
	i.Owner = environment
	l.after(took, func() {
		i.In(fmt.Sprint(environment))
		if reused {
			i.Reused()
		}
		if l.outage {
			l.held[i] = true
			l.did(l.p.Dialled(l.now, i))
			return
		}
		l.did(l.p.Up(l.now, i, l.settings.Concurrency))
	})
}

func (l *lab) setOutage(outage bool) {
	l.outage = outage
	l.did(l.p.Reach(l.now, !outage))
	if outage {
		return
	}
	for i := range l.held {
		if i.State() == pool.Starting {
			l.did(l.p.Up(l.now, i, l.settings.Concurrency))
		}
	}
	clear(l.held)
}

func (l *lab) end(i *pool.Instance) {
	l.billed += l.now.Sub(i.Started())
	freeze := func() { l.frozen = append(l.frozen, i.Owner.(int)) }
	if l.freezes == 0 {
		freeze()
	} else {
		l.after(l.freezes, freeze)
	}
	l.did(l.p.Ended(l.now, i, pool.End{}))
}

// look notes whether a warm start could be made.
func (l *lab) look() {
	switch {
	case len(l.frozen) == 0 || l.p.Stats().Blocked.Reason != "":
		l.spare = time.Time{}
	case l.spare.IsZero():
		l.spare = l.now
	}
	require.NoError(l.t, l.p.Check())
	if l.check != nil {
		l.check(l)
	}
}

// run lets time pass until nothing happens any more, or for so long.
func (l *lab) run(d time.Duration) {
	for end := l.now.Add(d); ; {
		next := l.p.Next()
		tick := !next.IsZero() && (len(l.later) == 0 || !next.After(l.later[0].at))
		switch {
		case tick && !next.After(end):
			if next.After(l.now) {
				l.now = next
			}
			l.did(l.p.Tick(l.now))
		case !tick && len(l.later) > 0 && !l.later[0].at.After(end):
			e := l.later[0]
			l.later = l.later[1:]
			l.now = e.at
			e.do()
		default:
			l.now = end
			return
		}
	}
}

var preferences = []scaler.Preference{scaler.Cost, scaler.Balanced, scaler.Latency}

// withoutColdWait fails if somebody has waited for longer than a warm start while one was possible. Waiters may have a
// little patience for slots that are given back, and a start may be taken for one that comes any moment for a while.
func withoutColdWait(l *lab) {
	if len(l.waiting) == 0 || l.spare.IsZero() {
		return
	}
	from := l.waiting[0].came
	if l.spare.After(from) {
		from = l.spare
	}
	limit := labWarm + scaler.Cost.Tuning().Patience
	if len(l.reaches) > 0 {
		limit += labOverdue // which one has it is known when it does not come up
	}
	if l.freezes > 0 {
		limit += 3 * labOverdue // the next one may not find it either, and the one after that be counted on meanwhile
	}
	require.LessOrEqual(l.t, l.now.Sub(from), limit,
		"a request waits beside an environment that is frozen: %+v", l.p.Stats())
}

// Whatever comes, nobody waits for longer than a warm start while an environment is frozen and a start is allowed.
func TestNobodyWaitsForAColdStartBesideAFrozenEnvironment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := labSettings(rapid.SampledFrom(preferences).Draw(t, "preference"), rapid.SampledFrom([]int{1, 2, 10}).Draw(t, "concurrency"))
		s.Scaling.Max = rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "max")
		s.Scaling.StartsInProgress = rapid.SampledFrom([]int{1, 3, 50}).Draw(t, "starts in progress")
		l := newLab(t, s, time.Duration(rapid.SampledFrom([]int{1, 7, 14}).Draw(t, "cold"))*time.Second)
		l.check = withoutColdWait
		ms := func(name string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Millisecond
		}
		if l.cold > time.Second {
			l.freezes = ms("freezes", 0, 90)
		}
		l.reaches = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 20).Draw(t, "ms")) * time.Millisecond
		}), 0, 7).Draw(t, "reaches")
		in := time.Duration(0)
		for range rapid.IntRange(1, 6).Draw(t, "waves") {
			service := rapid.SampledFrom([]time.Duration{5 * time.Millisecond, 100 * time.Millisecond, time.Second, 20 * time.Second}).Draw(t, "service")
			l.send(in, rapid.IntRange(1, 30).Draw(t, "requests"), ms("apart", 0, 400), service)
			in += ms("pause", 0, 20_000)
		}
		l.run(3 * time.Minute)
		l.run(time.Hour)
		require.Empty(t, l.waiting)
	})
}

// The second visitor comes while a new environment starts as a reserve, or for other waiters, and the first one's is frozen.
func TestTheSecondVisitorGetsTheFirstOnesEnvironment(t *testing.T) {
	for _, cold := range []time.Duration{7 * time.Second, 14 * time.Second} {
		for _, concurrency := range []int{1, 10} {
			for _, p := range preferences {
				l := newLab(t, labSettings(p, concurrency), cold)
				l.check = withoutColdWait
				l.send(0, 1, 0, 20*time.Millisecond)
				l.run(cold + 2*time.Second)
				require.Equal(t, cold, l.longest)
				l.longest = 0
				l.send(0, 1, 0, 20*time.Millisecond)
				l.run(time.Second)
				require.LessOrEqual(t, l.longest, labWarm, "%s, concurrency %d", p, concurrency)
				require.Equal(t, 2, l.done)
			}
		}
	}
}

// It comes while that environment is about to freeze.
func TestAnEnvironmentThatIsAboutToFreezeIsWaitedFor(t *testing.T) {
	for _, p := range preferences {
		l := newLab(t, labSettings(p, 1), 7*time.Second)
		l.send(0, 1, 0, 20*time.Millisecond)
		for l.p.Stats().Draining == 0 {
			l.run(time.Millisecond)
		}
		starts := l.starts
		l.longest = 0
		l.send(0, 1, 0, 20*time.Millisecond)
		l.run(time.Second)
		require.LessOrEqual(t, l.longest, labWarm+labFinish, p)
		require.LessOrEqual(t, l.made, 2, "%s: no more than the reserve", p)
		require.Greater(t, l.starts, starts)
	}
}

// It comes just after that, when the environment has answered and Lambda does not find it yet: it makes a new one, and the request
// does not wait for that.
func TestAnEnvironmentThatFreezesLateIsUsedAllTheSame(t *testing.T) {
	for _, p := range preferences {
		for _, freezes := range []time.Duration{20 * time.Millisecond, 90 * time.Millisecond} {
			l := newLab(t, labSettings(p, 10), 8*time.Second)
			l.freezes = freezes
			l.send(0, 1, 0, 20*time.Millisecond)
			for l.billed == 0 {
				l.run(time.Millisecond)
			}
			l.longest = 0
			l.send(0, 1, 0, 20*time.Millisecond)
			l.run(4 * time.Second)
			require.Equal(t, 2, l.done, "%s, %v", p, freezes)
			require.LessOrEqual(t, l.longest, labOverdue+labWarm+l.freezes, "%s, %v", p, freezes)
			require.LessOrEqual(t, l.made, 3, "%s: no more than the reserve, and one", p)
		}
	}
}

// A control plane that is started again finds the environments of before. What it learns of them is how long warm starts take: a cold
// one is not given up for a late one.
func TestEnvironmentsOfBeforeSayNothingAboutColdStarts(t *testing.T) {
	for _, p := range preferences {
		l := newLab(t, labSettings(p, 1), 5*time.Second)
		l.frozen = []int{1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008}
		l.send(0, 8, 0, 20*time.Millisecond)
		l.run(time.Second)
		require.Equal(t, labWarm, l.longest, p)
		l.run(10 * time.Minute)
		l.frozen = nil // they have been given up
		l.send(0, 1, 0, 20*time.Millisecond)
		l.run(4900 * time.Millisecond)
		require.Equal(t, 1, l.made, "%s: for one request", p)
		l.run(time.Second)
		require.Equal(t, 9, l.done, p)
	}
}

// One instance, once it is up, serves what has gathered sooner than others could.
func TestAStartThatBringsNobodyForwardIsNotMade(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name        string
		concurrency int
		cold        time.Duration
		requests    int
		apart       time.Duration
		service     time.Duration
		most        int // new environments
	}{
		{"26 of 100 ms at 5/s", 1, 5 * time.Second, 26, 200 * ms, 100 * ms, 3},
		{"50 ms at 200/s", 10, 15 * time.Second, 3200, 5 * ms, 50 * ms, 15},
		{"a crowd", 10, time.Second, 100, 0, 800 * ms, 10},
		{"a rate that needs them", 10, time.Second, 200, 20 * ms, time.Second, 14},
	} {
		for _, p := range preferences {
			t.Run(tt.name+" "+string(p), func(t *testing.T) {
				l := newLab(t, labSettings(p, tt.concurrency), tt.cold)
				for _, known := range []bool{false, true} {
					before := l.made
					l.send(0, tt.requests, tt.apart, tt.service)
					l.run(time.Duration(tt.requests)*tt.apart + tt.cold)
					require.LessOrEqual(t, l.made-before, tt.most, "times known: %t", known)
					l.run(30 * time.Minute) // they have been given up
					require.Empty(t, l.waiting)
					l.frozen = nil
				}
				require.Equal(t, 2*tt.requests, l.done)
			})
		}
	}
}

// A start that hangs is not counted on for ever.
func TestAStartThatHangsIsReplaced(t *testing.T) {
	w := story(t, func(s *pool.Settings) { *s = labSettings(scaler.Balanced, 1); s.StartTimeout = time.Hour })
	first := w.acquire()
	w.run(time.Second, nil)
	w.started[0].In("a")
	w.up()
	w.release(first)
	w.acquireN(3)
	w.run(30*time.Second, nil)
	require.GreaterOrEqual(t, w.starts, 4, "nobody of three was served in 30 s, and a start takes one")
	require.LessOrEqual(t, w.starts, 12, "further ones are more and more rare")
}
