package pool_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// count has the peer count an answer.
func (l *loop) count(a answer) {
	i := a.request.Instance()
	if l.counted[i] == nil {
		l.counted[i] = &scaler.Outcomes{}
	}
	l.counted[i].N++
	if a.failed {
		l.counted[i].Errors++
	}
}

// tell has all peers report, as they do each 100 ms, or the next one.
func (l *loop) tell() {
	l.now = latest(l.now, l.tellAt)
	ready := max(1, l.p.Stats().Ready)
	l.tellAt = l.now.Add(100 * time.Millisecond)
	if l.turn > 0 {
		l.tellAt = l.now.Add(100 * time.Millisecond / time.Duration(ready))
		l.turn++
	}
	n := 0
	for i := range l.p.Instances() {
		if n++; l.turn > 0 && n%ready != l.turn%ready {
			continue
		}
		i.Counts()
		if n := l.counted[i]; n != nil {
			l.p.Answered(i, n.N, n.Errors)
		}
		l.collect(l.p.Report(l.now, i, i.InFlight(), 10*time.Millisecond))
	}
}

// newFaults is a loop whose peers report.
func newFaults(t *testing.T, seed uint64, instances int) *loop {
	l := newLoop(t, seed, instances, 1)
	l.tellAt = l.now
	return l
}

// breakOne breaks the instance that is leased first.
func (l *loop) breakOne() {
	for i := range l.p.Instances() {
		l.broken[i] = true
		return
	}
}

// errors is how many requests have been answered with an error.
func (l *loop) errors() (n uint64) {
	for _, o := range l.counted {
		n += o.Errors
	}
	return n
}

// expelled is how many instances were let go because they fail.
func (l *loop) expelled() (n int) {
	for _, i := range l.drained {
		if i.DrainReason() == pool.Failing {
			n++
		}
	}
	return n
}

// An instance that answers all requests with an error at once has free slots when the others are full. It is let go within three
// seconds, whatever the clients are like, and no other one is taken for slow beside it.
func TestAnInstanceThatFailsAtOnceIsLetGo(t *testing.T) {
	for name, mix := range mixes {
		for _, instances := range []int{2, 4, 8} {
			for _, works := range []time.Duration{0, 2 * time.Second} {
				t.Run(fmt.Sprint(name, ", ", instances, ", after ", works), func(t *testing.T) {
					l := newFaults(t, 10, instances)
					mix(l, instances)
					l.goOn(works)
					l.breakOne()
					l.goOn(3 * time.Second)
					before := l.errors()
					l.goOn(3 * time.Second)
					t.Log(before, "errors of", l.asks)
					require.Equal(t, 1, l.expelled())
					require.Equal(t, before, l.errors(), "later")
					require.Zero(t, l.marked())
				})
			}
		}
	}
}

// Requests that fail wherever they are served gather on an instance, because they are quick. That is no instance's fault.
func TestRequestsThatFailEverywhereLetNoInstanceGo(t *testing.T) {
	for name, mix := range mixes {
		for _, instances := range []int{2, 5} {
			for _, wrong := range []int{1, 6} {
				t.Run(fmt.Sprint(name, ", ", instances, ", ", wrong), func(t *testing.T) {
					l := newFaults(t, 1, instances)
					mix(l, instances)
					for range wrong {
						l.clientOf(&kind{takes: l.about(time.Millisecond), fails: true})
					}
					l.goOn(4 * time.Second)
					require.Zero(t, l.expelled())
				})
			}
		}
	}
}

// An app that fails everywhere, from one moment on, loses none of its instances.
func TestAnAppThatFailsLosesNoInstance(t *testing.T) {
	l := newFaults(t, 1, 8)
	mixes["half"](l, 8)
	l.goOn(5 * time.Second)
	for i := range l.p.Instances() {
		l.broken[i] = true
	}
	l.goOn(10 * time.Second)
	require.Zero(t, l.expelled())
}

// Nor does one that fails everywhere for a moment, again and again. One peer tells of each moment before the others do.
func TestAnAppThatFailsForMomentsLosesNoInstance(t *testing.T) {
	for _, instances := range []int{2, 4, 8} {
		for _, mix := range []string{"half", "few", "mostly short"} {
			for _, fails := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond} {
				for _, works := range []time.Duration{300 * time.Millisecond, 3 * time.Second} {
					for _, turn := range []int{0, 1} {
						l := newFaults(t, 1, instances)
						mixes[mix](l, instances)
						l.turn = turn
						for range 6 {
							l.goOn(works)
							for i := range l.p.Instances() {
								l.broken[i] = true
							}
							l.goOn(fails)
							clear(l.broken)
						}
						require.Zero(t, l.expelled(), "%d, %s, fails for %v, works for %v, turn %d", instances, mix, fails, works, turn)
					}
				}
			}
		}
	}
}

// An instance that fails alone is found beside an app of which some requests fail everywhere.
func TestAnInstanceThatFailsBesideUsualErrorsIsLetGo(t *testing.T) {
	for _, share := range []float64{0.01, 0.1} {
		for _, turn := range []int{0, 1} {
			l := newFaults(t, 3, 4)
			l.turn = turn
			for range 20 {
				l.clientOf(&kind{takes: l.about(50 * time.Millisecond), sometimes: share})
			}
			l.goOn(10 * time.Second)
			require.Zero(t, l.expelled())
			l.breakOne()
			l.goOn(5 * time.Second)
			require.Equal(t, 1, l.expelled(), "%v fail everywhere", share)
		}
	}
}

// If what takes the place of a failing instance fails as well, that ends: a quarter of the instances are replaced in ten minutes, or one.
func TestNewInstancesThatFailAreNotReplacedWithoutEnd(t *testing.T) {
	l := newFaults(t, 1, 8)
	l.breakOne()
	mixes["crowded"](l, 8)
	for range 20 {
		l.goOn(time.Second)
		for i := range l.p.Instances() {
			if i.Started().After(time.Unix(1_000_000, 0)) {
				l.broken[i] = true
			}
		}
	}
	require.LessOrEqual(t, l.expelled(), 2)
}

// A lone instance has none to be compared with but those before it. Another one is up before it goes, and only one in ten minutes.
func TestALoneInstanceThatFailsIsReplaced(t *testing.T) {
	l := newFaults(t, 1, 1)
	l.clients(3, 50*time.Millisecond)
	l.goOn(5 * time.Second)
	first := l.drainLone()
	l.goOn(5 * time.Second)
	second := only(l)
	require.NotSame(t, first, second)
	l.broken[second] = true
	l.goOn(5 * time.Second)
	require.Equal(t, 1, l.expelled())
	third := only(l)
	require.NotSame(t, second, third)
	l.broken[third] = true
	before := l.errors()
	l.goOn(5 * time.Second)
	require.Greater(t, l.errors(), before)
	require.Equal(t, 1, l.expelled(), "they fail one after the other: it is the app")
}

func (l *loop) drainLone() *pool.Instance {
	i := only(l)
	l.collect(l.p.Drain(l.now, i, pool.Operator))
	return i
}

func only(l *loop) *pool.Instance {
	var one *pool.Instance
	for i := range l.p.Instances() {
		if i.State() == pool.Ready {
			require.Nil(l.t, one)
			one = i
		}
	}
	require.NotNil(l.t, one)
	return one
}
