package pool_test

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A loop is clients that each ask again as soon as they have an answer, on instances of which some may be slow.
type loop struct {
	*world
	dice  *rand.Rand
	ends  answers
	slow  map[*pool.Instance]float64 // how many times longer a request takes
	kinds map[*pool.Request]*kind
	asks  int
	holds bool // what is started does not come up

	onSlow func() // a slow one gets a request; nil: nobody asks

	broken  map[*pool.Instance]bool // answers every request with an error, at once
	counted map[*pool.Instance]*scaler.Outcomes
	tellAt  time.Time // of the next reports; zero: no peer reports
	turn    int       // of whose report is next, where peers report one after the other; zero: all do at once
}

// An answer comes at a time. A nil request is a client's next one.
type answer struct {
	at      time.Time
	request *pool.Request
	kind    *kind
	failed  bool
}

// A kind of requests.
type kind struct {
	takes func() time.Duration
	fails bool // at once, wherever it is served

	sometimes float64 // part of them that fails, wherever it is served, but not at once
}

type answers []answer

func (a answers) Len() int           { return len(a) }
func (a answers) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a answers) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *answers) Push(x any)        { *a = append(*a, x.(answer)) }
func (a *answers) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// newLoop has so many instances of ten slots, the first of them slow.
func newLoop(t *testing.T, seed uint64, instances int, slowest float64) *loop {
	s := settings()
	s.Seed, s.Scaling.Policy, s.Scaling.Preference = seed, nil, scaler.Cost
	s.Scaling.Min = instances
	l := &loop{
		world: newWorld(t, s), dice: rand.New(rand.NewPCG(seed, 1)), slow: map[*pool.Instance]float64{}, kinds: map[*pool.Request]*kind{},
		broken: map[*pool.Instance]bool{}, counted: map[*pool.Instance]*scaler.Outcomes{},
	}
	for n := 0; len(l.started) > 0; n++ {
		i := l.started[0]
		i.In(fmt.Sprint("environment ", n))
		if l.up(); n == 0 && slowest > 1 {
			l.slow[i] = slowest
		}
	}
	return l
}

// client asks for the first time within half a second.
func (l *loop) client(takes func() time.Duration) {
	l.clientOf(&kind{takes: takes})
}

func (l *loop) clientOf(k *kind) {
	heap.Push(&l.ends, answer{at: l.now.Add(time.Duration(l.dice.Int64N(int64(500 * time.Millisecond)))), kind: k})
}

func (l *loop) serve(r *pool.Request) {
	k := l.kinds[r]
	took := k.takes()
	if times := l.slow[r.Instance()]; times > 0 {
		took = time.Duration(float64(took) * times)
		if l.onSlow != nil {
			l.onSlow()
		}
	}
	failed := k.fails || l.broken[r.Instance()]
	if failed {
		took = time.Millisecond
	} else if k.sometimes > 0 {
		failed = l.dice.Float64() < k.sometimes
	}
	heap.Push(&l.ends, answer{l.now.Add(took), r, k, failed})
	delete(l.kinds, r)
}

func (l *loop) goOn(d time.Duration) {
	for end := l.now.Add(d); l.ends[0].at.Before(end); {
		if !l.tellAt.IsZero() && l.tellAt.Before(l.ends[0].at) {
			l.tell()
		}
		if next := l.p.Next(); !next.IsZero() && next.Before(l.ends[0].at) {
			l.now = latest(l.now, next)
			l.collect(l.p.Tick(l.now))
		} else {
			l.next(heap.Pop(&l.ends).(answer))
		}
		for len(l.started) > 0 && !l.holds {
			l.started[0].In(fmt.Sprint("later ", l.starts))
			l.up()
		}
		for _, r := range l.dispatched {
			l.serve(r)
		}
		l.dispatched = nil
	}
	require.NoError(l.t, l.p.Check())
}

func (l *loop) next(a answer) {
	l.now = a.at
	if a.request != nil {
		l.count(a)
		l.collect(l.p.Release(l.now, a.request))
		heap.Push(&l.ends, answer{at: l.now.Add(time.Millisecond), kind: a.kind})
		return
	}
	r := &pool.Request{}
	l.kinds[r] = a.kind
	l.asks++
	l.collect(l.p.Acquire(l.now, r))
	if r.State() == pool.Leased {
		l.serve(r)
	}
}

// marked is how many instances were found to be slow, those that have been replaced included.
func (l *loop) marked() int {
	n := l.p.Stats().Rotating
	for _, i := range l.drained {
		if i.DrainReason() == pool.Rotation {
			n++
		}
	}
	return n
}

// about takes nearly always as long.
func (l *loop) about(d time.Duration) func() time.Duration {
	return func() time.Duration { return time.Duration(float64(d) * (0.9 + l.dice.Float64()/5)) }
}

// mixes are clients that differ, by how many of each there are for an instance.
var mixes = map[string]func(l *loop, n int){
	"mostly short": func(l *loop, n int) { l.clients(7*n, 20*time.Millisecond); l.clients(n, 500*time.Millisecond) },
	"mostly long":  func(l *loop, n int) { l.clients(n, 20*time.Millisecond); l.clients(7*n, 500*time.Millisecond) },
	"half":         func(l *loop, n int) { l.clients(4*n, 20*time.Millisecond); l.clients(4*n, 500*time.Millisecond) },
	"crowded":      func(l *loop, n int) { l.clients(6*n, 20*time.Millisecond); l.clients(6*n, 500*time.Millisecond) },
	"few":          func(l *loop, n int) { l.clients(n, 20*time.Millisecond); l.clients(n, 500*time.Millisecond) },
	"each its own": func(l *loop, n int) {
		for range 8 * n {
			l.clients(1, time.Duration(100*math.Exp(l.dice.NormFloat64()))*time.Millisecond)
		}
	},
}

func (l *loop) clients(n int, d time.Duration) {
	for range n {
		l.client(l.about(d))
	}
}

// Requests of different kinds gather on instances by themselves: that makes none slow.
func TestMixedClientsMakeNoInstanceSlow(t *testing.T) {
	for name, mix := range mixes {
		for _, instances := range []int{2, 5} {
			t.Run(fmt.Sprint(name, ", ", instances), func(t *testing.T) {
				marked, asks := 0, 0
				for seed := range uint64(2) {
					l := newLoop(t, seed+1, instances, 1)
					mix(l, instances)
					l.goOn(20 * time.Second)
					marked += l.marked()
					asks += l.asks
				}
				t.Log(asks, "requests")
				require.Zero(t, marked)
			})
		}
	}
}

// One of eight that takes five times as long is found, whatever the clients are like.
func TestASlowInstanceIsFoundAmongMixedClients(t *testing.T) {
	for name, mix := range mixes {
		t.Run(name, func(t *testing.T) {
			found := 0
			for seed := range uint64(2) {
				l := newLoop(t, seed+1, 8, 5)
				mix(l, 8)
				l.goOn(20 * time.Second)
				found += min(1, l.marked())
			}
			require.Equal(t, 2, found)
		})
	}
}

// It is found by the requests that it has in flight, before many have ended: twice as many as it has slots at most meet it.
func TestASlowInstanceIsFoundByWhatItHasInFlight(t *testing.T) {
	for seed := range uint64(5) {
		met := 0
		l := newLoop(t, seed+1, 4, 5)
		l.onSlow = func() { met++ }
		l.clients(5*4, 200*time.Millisecond)
		l.goOn(10 * time.Second)
		require.Equal(t, 1, l.marked(), "seed %d", seed)
		require.LessOrEqual(t, met, 20, "seed %d", seed)
		t.Log(met)
	}
}

// An instance may wear out while it is tried. It is leased last from then on, like one that was found slow.
func TestAnInstanceThatWearsWhileItIsTried(t *testing.T) {
	for moment := 250 * time.Millisecond; moment < 4*time.Second; moment += 250 * time.Millisecond {
		l := newLoop(t, 1, 4, 5)
		mixes["half"](l, 4)
		l.goOn(moment)
		for slow := range l.slow {
			l.collect(l.p.Worn(l.now, slow))
		}
		l.holds = true
		l.goOn(time.Second)
		l.holds = false
		l.goOn(5 * time.Second)
	}
}

// Whatever happens to instances while one is tried, the pool keeps its invariants.
func TestAnythingMayHappenDuringATrial(t *testing.T) {
	for seed := range uint64(40) {
		dice := rand.New(rand.NewPCG(seed, 2))
		l := newLoop(t, seed, 4, 5)
		mixes["half"](l, 4)
		s := settings()
		s.Scaling.Policy, s.Scaling.Min = nil, 4
		happens := []func(i *pool.Instance) *pool.Effects{
			func(i *pool.Instance) *pool.Effects { return l.p.Worn(l.now, i) },
			func(i *pool.Instance) *pool.Effects { return l.p.Drain(l.now, i, pool.Operator) },
			func(i *pool.Instance) *pool.Effects { return l.p.Down(l.now, i) },
			func(i *pool.Instance) *pool.Effects { return l.p.Away(l.now, i) },
			func(i *pool.Instance) *pool.Effects { return l.p.Up(l.now, i, 10) },
			func(i *pool.Instance) *pool.Effects { return l.p.Report(l.now, i, dice.IntN(12), pool.DefaultDelay) },
			func(i *pool.Instance) *pool.Effects {
				l.broken[i], l.tellAt = !l.broken[i], l.now // from now on peers report
				return l.p.Tick(l.now)
			},
			func(*pool.Instance) *pool.Effects {
				s.Learn, s.Concurrency = dice.IntN(2) == 0, 1+dice.IntN(12)
				return l.p.Configure(l.now, s)
			},
			func(*pool.Instance) *pool.Effects {
				return l.p.Route(l.now, pool.Route{Version: fmt.Sprint(dice.IntN(3))}, rollout.Plan{}, true)
			},
		}
		for range 20 {
			l.holds = dice.IntN(3) == 0
			l.goOn(time.Duration(dice.Int64N(int64(600 * time.Millisecond))))
			all := slices.Collect(l.p.Instances())
			i := all[dice.IntN(len(all))]
			for slow := range l.slow {
				if slow.State() != pool.Gone && dice.IntN(2) == 0 {
					i = slow
				}
			}
			l.did(happens[dice.IntN(len(happens))](i))
		}
	}
}
