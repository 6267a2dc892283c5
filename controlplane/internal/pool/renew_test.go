package pool_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

var (
	one = pool.Route{Version: "1"}
	two = pool.Route{Version: "2"}
)

// A deployment is a pool that serves 45 requests at once by version 1, pinned or as Lambda chose it.
type deployment struct {
	*world
	busy   []*pool.Request
	lambda func() string // the version that Lambda would choose
	fails  string        // the version whose starts fail
	each   int           // but for each so-manieth; 0: all fail
	silent bool          // peers do not say which version they run
	starts map[string]int
	waits  int
	kills  string // the version whose instances end with the requests that they are given
	killed int    // so many requests

	takes     time.Duration // the longest request; others take half of it at least
	slower    string        // the version of which that is true; empty: of all
	hangs     string        // the version whose instances never answer; or everywhere
	but       int           // but for each so-manieth request; 0: none
	patient   time.Duration // how long clients wait for it, before they leave or Envoy answers in its place
	gaveUp    int           // so many requests ended so
	uncounted bool          // peers do not count answers

	answers map[*pool.Instance]uint64
	open    map[*pool.Instance]uint64 // requests that have ended without an answer
	asked   map[*pool.Request]bool    // whether it is one that never gets an answer
	lasts   map[*pool.Request]time.Duration
	tells   bool // peers say how many requests they have not answered
}

const (
	deployed   = 5 // instances
	everywhere = "every version"
)

func deploy(t *testing.T, pinned bool, change func(*pool.Settings)) *deployment {
	d := &deployment{
		world: story(t, change), lambda: func() string { return "1" }, starts: map[string]int{}, answers: map[*pool.Instance]uint64{},
		open: map[*pool.Instance]uint64{}, asked: map[*pool.Request]bool{}, lasts: map[*pool.Request]time.Duration{},
	}
	if pinned {
		d.did(d.p.Route(d.now, one, rollout.Plan{}, false))
	}
	d.busy = d.acquireN(45)
	d.comeUp()
	require.Equal(t, deployed, d.p.Stats().Ready)
	d.waits = 0
	return d
}

// comeUp lets all that was started come up, as the version that it is.
func (d *deployment) comeUp() {
	for len(d.started) > 0 {
		i := d.takeStarted()
		version := i.Pin()
		if version == "" {
			version = d.lambda()
		}
		d.starts[version]++
		if version == d.fails && (d.each == 0 || d.starts[version]%d.each > 0) {
			d.end(i, "init_failed")
			continue
		}
		if !d.silent {
			i.Runs(version)
		}
		if !d.uncounted {
			i.Counts()
		}
		i.In(fmt.Sprintf("%s-%d", version, d.starts[version]))
		d.did(d.p.Up(d.now, i, 10))
	}
}

// serve lets requests end and come for that long.
func (d *deployment) serve(for_ time.Duration) {
	for end := d.now.Add(for_); d.now.Before(end); {
		d.run(100*time.Millisecond, nil)
		for k := range d.busy {
			if d.answer(d.busy[k]); d.busy[k].State() == pool.Leased {
				continue
			}
			r := d.acquire()
			if r.State() == pool.Waiting {
				d.waits++
			}
			d.busy[k] = r
		}
		d.tell()
		d.comeUp()
		d.endDrained()
	}
}

// tell lets peers say what they have not answered. What is in flight has not been.
func (d *deployment) tell() {
	for i := range d.p.Instances() {
		if n := i.InFlight(); d.tells && i.State() == pool.Ready {
			d.p.Unanswered(i, d.open[i]+uint64(n), n)
			d.did(d.p.Report(d.now, i, n, pool.DefaultDelay))
		}
	}
}

// answer ends a request, and its peer says so, unless it is one that dies of it.
func (d *deployment) answer(r *pool.Request) {
	i := r.Instance()
	switch {
	case r.State() != pool.Leased:
	case d.stuck(r):
		if d.now.Sub(r.Arrived()) < d.patient {
			return
		}
		d.gaveUp++
		d.open[i]++
	case d.kills != "" && i.Version() == d.kills:
		d.killed++
		d.release(r)
		if i.InFlight() == 0 {
			d.end(i, "crashed")
		}
		return
	case d.goesOn(r):
		return
	default:
		d.reports(i, 1, 0)
	}
	d.release(r)
}

// goesOn reports whether a request takes longer.
func (d *deployment) goesOn(r *pool.Request) bool {
	if d.takes == 0 || d.slower != "" && d.slower != r.Instance().Version() {
		return false
	}
	takes, known := d.lasts[r]
	if !known {
		takes = d.takes/2 + d.takes/2*time.Duration(len(d.lasts)%10)/9
		d.lasts[r] = takes
	}
	return d.now.Sub(r.Arrived()) < takes
}

// stuck reports whether a request that is leased never gets an answer.
func (d *deployment) stuck(r *pool.Request) bool {
	if d.hangs != everywhere && (d.hangs == "" || r.Instance().Version() != d.hangs) {
		return false
	}
	stuck, known := d.asked[r]
	if !known {
		stuck = d.but == 0 || (len(d.asked)+1)%d.but > 0
		d.asked[r] = stuck
	}
	return stuck
}

// reports says that an instance has given so many more answers, some of them with errors, of which there were none before.
func (d *deployment) reports(i *pool.Instance, answers, errors uint64) {
	d.answers[i] += answers
	d.p.Answered(i, d.answers[i], errors)
}

// atZero ends all requests, and then all instances; their environments are frozen.
func (d *deployment) atZero() {
	d.release(d.busy...)
	d.busy = nil
	d.run(time.Minute, d.endDrained)
	require.Zero(d.t, d.p.Stats().Live())
}

// running are the versions of what is ready.
func (d *deployment) running() map[string]int {
	out := map[string]int{}
	for i := range d.p.Instances() {
		if i.State() == pool.Ready {
			out[i.Version()]++
		}
	}
	return out
}

// Whoever knows what the alias points to starts instances by number: old and new ones, as it sees fit.
func TestAVersionReplacesAnotherBeforeItStops(t *testing.T) {
	d := deploy(t, true, nil)
	lowest := deployed
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
	for range 50 {
		d.serve(100 * time.Millisecond)
		lowest = min(lowest, d.p.Stats().Ready)
	}
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	require.Equal(t, deployed, lowest, "no gap in capacity")
	require.Zero(t, d.waits)
	require.Equal(t, map[string]int{"1": deployed, "2": deployed}, d.starts)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
	require.Equal(t, two, d.p.Routed())
	for _, i := range d.drained {
		require.Equal(t, pool.Rollout, i.DrainReason())
	}
}

func TestOneInstanceIsTriedFirst(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: 10 * time.Second}, false))
	d.serve(9 * time.Second)
	require.Equal(t, map[string]int{"1": deployed - 1, "2": 1}, d.running())
	g := d.p.Rollout()
	require.Equal(t, rollout.Watching, g.Phase)
	require.Equal(t, []int{deployed, 1, deployed - 1}, []int{g.Want, g.Fresh, g.Old})
	d.serve(3 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
}

// A version that does not come up serves nobody, and the old one goes on, is started anew, too.
func TestAVersionThatDoesNotComeUpServesNobody(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.Lifetime = time.Minute })
	d.fails = "2"
	d.did(d.p.Route(d.now, two, rollout.Plan{}, false))
	d.serve(10 * time.Second)
	g := d.p.Rollout()
	require.Equal(t, rollout.Aborted, g.Phase)
	require.Equal(t, rollout.Cause("init_failed"), g.Cause)
	require.Equal(t, 3, d.starts["2"])
	require.Empty(t, d.p.Stats().Blocked)
	d.did(d.p.Route(d.now, two, rollout.Plan{}, false)) // as each look at the alias says
	d.serve(3 * time.Minute)
	require.Equal(t, map[string]int{"1": deployed}, d.running())
	require.Greater(t, d.starts["1"], 2*deployed, "they rotated meanwhile")
	require.Equal(t, 3, d.starts["2"], "not tried again")
	require.Zero(t, d.waits)

	d.fails = ""
	d.did(d.p.Route(d.now, two, rollout.Plan{}, true)) // an operator has mended it
	d.serve(10 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
}

func TestABadVersionIsReplacedByTheOldOne(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Steps: []float64{0.5, 1}, Hold: 5 * time.Second, MaxErrors: 0.1}, false))
	d.serve(7 * time.Second)
	require.Equal(t, map[string]int{"1": 2, "2": 3}, d.running())
	for i := range d.p.Instances() {
		if i.Version() == "2" {
			d.reports(i, 1000, 900)
		}
	}
	d.serve(5 * time.Second)
	require.Equal(t, rollout.Aborted, d.p.Rollout().Phase)
	require.Equal(t, rollout.Errors, d.p.Rollout().Cause)
	require.Equal(t, map[string]int{"1": deployed}, d.running())
	require.False(t, d.p.Rollout().Back)
	require.Zero(t, d.waits)
}

// A peer counts an answer and its error one after the other, and may report between the two.
func TestErrorsAreNotLostBetweenReports(t *testing.T) {
	for name, between := range map[string][2]uint64{"the answer first": {1, 0}, "the error first": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, nil)
			d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour}, false))
			d.serve(time.Second)
			for i := range d.p.Instances() {
				if i.Version() == "2" {
					n := d.answers[i]
					d.p.Answered(i, n+between[0], between[1])
					d.p.Answered(i, n+1, 1)
				}
			}
			after := d.p.Rollout().After
			_, errors := after.Answers()
			require.EqualValues(t, 1, errors)
		})
	}
}

func TestAnOperatorAborts(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour}, false))
	d.serve(time.Second)
	e, ok := d.p.AbortRollout(d.now)
	d.did(e)
	require.True(t, ok)
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"1": deployed}, d.running())
	_, ok = d.p.AbortRollout(d.now)
	require.False(t, ok)
}

func TestAnotherVersionComesDuringARollout(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour}, false))
	d.serve(time.Second)
	d.did(d.p.Route(d.now, pool.Route{Version: "3"}, rollout.Plan{}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"3": deployed}, d.running())
	d.did(d.p.Route(d.now, one, rollout.Plan{}, false)) // and back
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"1": deployed}, d.running())
}

func TestAnAliasWithWeightsHasBothVersions(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.Lifetime = time.Minute })
	both := pool.Route{Version: "1", Extra: "2", Share: 0.2}
	d.did(d.p.Route(d.now, both, rollout.Plan{}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"1": 4, "2": 1}, d.running())
	for range 10 {
		d.serve(30 * time.Second) // they rotate
		d.did(d.p.Route(d.now, both, rollout.Plan{}, false))
		require.Equal(t, map[string]int{"1": 4, "2": 1}, d.running())
	}
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
	d.did(d.p.Route(d.now, two, rollout.Plan{}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	d.did(d.p.Route(d.now, both, rollout.Plan{}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"1": 4, "2": 1}, d.running())
}

// A tenth of few instances is none of them: the version is tried, does not stay, and runs on one of ten later.
func TestAShareThatIsNoWholeInstance(t *testing.T) {
	for _, busy := range []int{5, 18} {
		t.Run(fmt.Sprint(busy, " requests at once"), func(t *testing.T) {
			d := &deployment{
				world: story(t, func(s *pool.Settings) { s.Lifetime = time.Minute }), lambda: func() string { return "1" },
				starts: map[string]int{}, answers: map[*pool.Instance]uint64{}, open: map[*pool.Instance]uint64{},
			}
			d.did(d.p.Route(d.now, one, rollout.Plan{}, false))
			d.busy = d.acquireN(busy)
			d.comeUp()
			n := d.p.Stats().Ready
			d.serve(10 * time.Second)
			d.did(d.p.Route(d.now, pool.Route{Version: "1", Extra: "2", Share: 0.1}, rollout.Plan{Hold: 2 * time.Second}, false))
			d.serve(time.Second)
			require.Equal(t, map[string]int{"1": n, "2": 1}, d.running(), "beside the old ones")
			d.serve(9 * time.Second)
			require.Equal(t, rollout.Done, d.p.Rollout().Phase)
			require.Equal(t, map[string]int{"1": n}, d.running())
			before := d.starts["2"] + d.starts["1"]
			with := 0
			for range 3000 {
				d.serve(time.Second)
				running := d.running()
				require.LessOrEqual(t, running["2"], 1)
				with += running["2"]
			}
			require.Greater(t, d.starts["2"]+d.starts["1"], before+40*n, "they rotated")
			require.InDelta(t, 0.1*float64(n), float64(with)/3000, 0.1*float64(n), "in the mean")
			require.Positive(t, with)
			require.Zero(t, d.waits)
		})
	}
}

// Where nobody may read the alias, the first instance of another version tells that it has moved.
func TestAnInstanceTellsThatTheAliasHasMoved(t *testing.T) {
	d := deploy(t, false, nil)
	d.lambda = func() string { return "2" }
	more := d.acquireN(10) // one more instance is wanted
	d.comeUp()
	d.release(more...)
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": deployed + 1}, d.running())
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
	require.LessOrEqual(t, d.starts["2"], deployed+1)
}

// Lambda chooses one of two versions for each start: that is one rollout at most, and not one after the other.
func TestAnAliasWithWeightsThatNobodyReads(t *testing.T) {
	d := deploy(t, false, func(s *pool.Settings) { s.Lifetime = time.Minute })
	k := 0
	d.lambda = func() string {
		k++
		return []string{"1", "1", "2"}[k%3]
	}
	d.serve(5 * time.Minute)
	require.Greater(t, k, 5*deployed, "they rotated")
	require.LessOrEqual(t, len(d.causes()), 1)
	require.Len(t, d.running(), 2)
}

func TestADrainOfAllIsMakeBeforeBreak(t *testing.T) {
	for _, pinned := range []bool{true, false} {
		d := deploy(t, pinned, nil)
		before := d.p.Stats().Started
		d.did(d.p.Renew(d.now, rollout.Plan{Known: true}, false))
		d.serve(5 * time.Second)
		require.Equal(t, map[string]int{"1": deployed}, d.running())
		require.EqualValues(t, deployed, d.p.Stats().Started-before)
		require.Zero(t, d.waits)
		require.Len(t, d.drained, deployed)
	}
}

// The guards hold: at the maximum a quarter more is there for the time of the rollout.
// What a rollout has replaced is drained like anything else that nobody needs, though nothing happens any more.
func TestWhatARolloutLeavesIdleIsDrained(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.Scaling.Policy = scaler.Frugal(scaler.Cost.Tuning()) })
	d.release(d.busy...)
	d.did(d.p.Route(d.now, two, rollout.Plan{}, false))
	for end := d.now.Add(time.Second); d.p.Rollout().Phase != rollout.Done; {
		require.True(t, d.now.Before(end), "%+v", d.p.Rollout())
		d.run(10*time.Millisecond, nil)
		d.comeUp()
		d.endDrained()
	}
	require.NotZero(t, d.starts["2"])
	d.run(2*time.Second, d.endDrained)
	require.Zero(t, d.p.Stats().Live())
}

func TestARolloutStaysWithinTheGuards(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.Scaling.Max = deployed })
	most := 0
	d.did(d.p.Route(d.now, two, rollout.Plan{}, false))
	for range 100 {
		d.serve(100 * time.Millisecond)
		most = max(most, d.p.Stats().Live())
	}
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	require.LessOrEqual(t, most, deployed+1)
	require.Zero(t, d.waits)
}

// Nobody is there, but a warm environment is: the new version's becomes warm before the old one's is given up.
func TestAFunctionAtZeroKeepsWarm(t *testing.T) {
	d := deploy(t, true, nil)
	d.atZero()
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
	r := d.acquire()
	require.Len(t, d.world.started, 2)
	require.Equal(t, []string{"2", "1"}, []string{d.world.started[0].Pin(), d.world.started[1].Pin()})
	d.world.started[0], d.world.started[1] = d.world.started[1], d.world.started[0] // it is warm, and up first
	d.comeUp()
	require.Equal(t, "1", r.Instance().Version())
	d.release(r)
	d.serve(3 * time.Second)
	require.Equal(t, two, d.p.Routed())
	r = d.acquire()
	d.comeUp()
	require.Equal(t, "2", r.Instance().Version())
}

// causes are how rollouts ended, in order.
func (d *deployment) causes() []rollout.Cause {
	var out []rollout.Cause
	for _, g := range d.rolled {
		if g.Phase.Over() && !g.Back {
			out = append(out, g.Cause)
		}
	}
	return out
}

// Whoever moves the alias back in the middle of a rollout keeps the instances that run the old version.
func TestAnAliasThatIsMovedBackReplacesOnlyWhatIsNew(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Steps: []float64{0.4, 1}, Hold: time.Hour}, false))
	d.serve(2 * time.Second)
	require.Equal(t, map[string]int{"1": 4, "2": 1}, d.running())
	d.did(d.p.Route(d.now, one, rollout.Plan{}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"1": deployed}, d.running())
	require.Equal(t, deployed+1, d.starts["1"])
	require.Zero(t, d.waits)
	require.Equal(t, []rollout.Cause{rollout.Superseded}, d.causes())
	require.Equal(t, one, d.p.Routed())
}

// What was given up is tried again once the alias has led elsewhere, or back, in between.
func TestARejectedVersionThatComesAgainIsNews(t *testing.T) {
	for name, between := range map[string]pool.Route{"back": one, "elsewhere": {Version: "3"}} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, nil)
			d.fails = "2"
			d.did(d.p.Route(d.now, two, rollout.Plan{}, false))
			d.serve(10 * time.Second)
			require.Equal(t, 3, d.starts["2"])
			d.did(d.p.Route(d.now, between, rollout.Plan{}, false))
			d.serve(5 * time.Second)
			d.fails = ""
			d.did(d.p.Route(d.now, two, rollout.Plan{}, false))
			d.serve(5 * time.Second)
			require.Equal(t, map[string]int{"2": deployed}, d.running())
		})
	}
}

// A drain goes where the rollout under way does, and brings nothing back that was given up.
func TestADrainDuringARolloutTurnsNothingBack(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: 2 * time.Second}, false))
	d.serve(time.Second)
	d.did(d.p.Renew(d.now, rollout.Plan{Known: true}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	require.Equal(t, []rollout.Cause{""}, d.causes(), "one, which was done")

	d.fails = "3"
	three := pool.Route{Version: "3"}
	d.did(d.p.Route(d.now, three, rollout.Plan{}, false))
	d.serve(10 * time.Second)
	d.did(d.p.Renew(d.now, rollout.Plan{Known: true}, false))
	d.serve(5 * time.Second)
	d.did(d.p.Route(d.now, three, rollout.Plan{}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	require.Equal(t, 3, d.starts["3"])
	require.Zero(t, d.waits)
}

// Versions cannot be invoked by number: the rollout goes on as Lambda chooses.
func TestARolloutGoesOnWhereVersionsMayNotBeChosen(t *testing.T) {
	d := deploy(t, true, nil)
	d.lambda = func() string { return "2" }
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: 2 * time.Second}, false))
	require.Equal(t, "2", d.started[0].Pin())
	d.end(d.takeStarted(), "denied")
	d.did(d.p.Unpin(d.now, true))
	d.did(d.p.Retry(d.now))
	d.serve(time.Second)
	require.Equal(t, map[string]int{"1": deployed - 1, "2": 1}, d.running(), "by the same plan")
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	require.Zero(t, d.waits)
	require.Equal(t, []rollout.Cause{rollout.Superseded, ""}, d.causes())
}

// The alias cannot be read any more: it is Lambda that chooses, and what it chooses is noticed.
func TestAnAliasThatCannotBeReadAnyMore(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
	d.did(d.p.Unpin(d.now, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running(), "a rollout comes to its end before")
	require.Equal(t, two, d.p.Routed())
	d.did(d.p.Unpin(d.now, false))
	require.Equal(t, pool.Route{}, d.p.Routed())
	d.lambda = func() string { return "3" }
	more := d.acquireN(10)
	d.comeUp()
	d.release(more...)
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"3": deployed + 1}, d.running())
}

// A peer that does not say which version it runs: the answer of its invocation does.
func TestTheAnswerOfAnInvocationTellsThatTheAliasHasMoved(t *testing.T) {
	d := deploy(t, false, nil)
	d.silent, d.lambda = true, func() string { return "2" }
	more := d.acquireN(10)
	i := d.started[0]
	d.comeUp()
	d.release(more...)
	d.did(d.p.Drain(d.now, i, pool.Operator))
	before := d.p.Stats().Started
	d.did(d.p.Ended(d.now, i, pool.End{Version: "2"}))
	d.serve(10 * time.Second)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
	require.LessOrEqual(t, d.p.Stats().Started-before, uint64(deployed+1))
	for i := range d.p.Instances() {
		require.NotEqual(t, "1", i.Version())
	}
	began := d.p.Rollout().Began
	d.serve(time.Minute)
	require.Equal(t, began, d.p.Rollout().Began, "and is not noticed again")
}

// Code that dies soon after it came up is given up once, and not begun again with each start.
func TestAVersionThatWasGivenUpIsNoNews(t *testing.T) {
	d := deploy(t, false, func(s *pool.Settings) { s.Rollout.Hold = time.Hour })
	d.lambda = func() string { return "2" }
	for k := range 6 {
		more := d.acquireN(10)
		d.comeUp()
		d.release(more...)
		for i := range d.p.Instances() {
			if i.Version() == "2" && i.State() != pool.Starting {
				d.end(i, "crashed")
			}
		}
		d.run(time.Duration(k)*time.Second, nil)
	}
	var given int
	for _, cause := range d.causes() {
		if cause == rollout.Crashes {
			given++
		}
	}
	require.Equal(t, 1, given)
	require.LessOrEqual(t, len(d.causes()), 2)
}

// Code that dies of its first request takes one with it each time, and not all that its instance could have been given.
func TestAVersionThatDiesOfItsFirstRequest(t *testing.T) {
	for name, to := range map[string]pool.Route{"alone": two, "with a share": {Version: "1", Extra: "2", Share: 0.4}} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, nil)
			d.kills = "2"
			d.did(d.p.Route(d.now, to, rollout.Plan{Hold: 3 * time.Second}, false))
			for range 300 {
				d.serve(100 * time.Millisecond)
				d.did(d.p.Route(d.now, to, rollout.Plan{Hold: 3 * time.Second}, false)) // as each look at the alias says
			}
			require.Equal(t, rollout.Crashes, d.p.Rollout().Cause)
			require.Equal(t, 3, d.starts["2"])
			require.Equal(t, 3, d.killed)
			require.Equal(t, map[string]int{"1": deployed}, d.running())
			require.Zero(t, d.waits)
		})
	}
}

// A crowd comes while one instance of such code is all that is up: the old code starts for the others.
func TestACrowdMeetsCodeThatDiesOfItsFirstRequest(t *testing.T) {
	d := deploy(t, true, nil)
	d.atZero()
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: 3 * time.Second}, false))
	d.comeUp()
	require.Equal(t, map[string]int{"2": 1}, d.running())
	crowd := d.acquireN(10)
	require.Equal(t, 1, d.p.Stats().InFlight)
	for _, i := range d.started {
		require.Equal(t, "1", i.Pin())
	}
	d.comeUp()
	d.requireStates(pool.Leased, crowd)
	d.answer(crowd[0])
	for _, r := range d.acquireN(10) {
		require.Equal(t, "2", r.Instance().Version(), "that it has answered says that it lives")
	}
}

// A peer of an older build does not count answers: what lives on after its first request is trusted all the same.
func TestCodeThatLivesOnIsTrustedWithoutCounts(t *testing.T) {
	d := deploy(t, true, nil)
	d.uncounted = true
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour}, false))
	d.comeUp()
	r := d.acquire()
	require.Equal(t, "2", r.Instance().Version())
	d.release(r)
	require.Equal(t, "1", d.acquire().Instance().Version(), "it may have died of it")
	d.run(1900*time.Millisecond, nil)
	require.Equal(t, "1", d.acquire().Instance().Version())
	d.run(200*time.Millisecond, nil)
	d.did(d.p.Tick(d.now))
	for range 3 {
		require.Equal(t, "2", d.acquire().Instance().Version())
	}
}

// Nobody asks for anything when the pause after a crash is over: the next start is made all the same.
func TestARolloutGoesOnAfterACrash(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.Scaling.Min = 2 })
	d.release(d.busy...)
	d.busy = nil
	d.serve(3 * time.Minute)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: 1500 * time.Millisecond}, false))
	for range 2 {
		i := d.started[0]
		d.comeUp()
		d.run(1400*time.Millisecond, nil)
		d.end(i, "crashed")
		d.run(2500*time.Millisecond, d.endDrained)
	}
	d.comeUp()
	d.serve(10 * time.Second)
	require.Equal(t, map[string]int{"2": 2}, d.running())
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// More is asked for while a new version is tried or has a share: it gets no more than that.
func TestAStepIsNoLargerThanItsShareWhileLoadGrows(t *testing.T) {
	for name, tt := range map[string]struct {
		steps []float64
		to    pool.Route
		most  func(all int) int
	}{
		"tried":   {nil, two, func(int) int { return 1 }},
		"a fifth": {[]float64{0.2, 1}, two, func(all int) int { return (all + 4) / 5 }},
		"a fifth of what the alias gives": {
			[]float64{0.2}, pool.Route{Version: "1", Extra: "2", Share: 0.5}, func(all int) int { return (all + 9) / 10 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, nil)
			hold := time.Hour
			if tt.steps != nil {
				hold = 40 * time.Second
			}
			d.did(d.p.Route(d.now, tt.to, rollout.Plan{Steps: tt.steps, Hold: hold}, false))
			d.serve(hold/time.Hour*10*time.Second + 42*time.Second) // the trial is over, where there are steps
			for range 15 {
				d.busy = append(d.busy, d.acquireN(10)...)
				d.comeUp()
				d.serve(time.Second)
				running := d.running()
				require.Equal(t, rollout.Watching, d.p.Rollout().Phase)
				require.LessOrEqual(t, running["2"], tt.most(running["1"]+running["2"]), "%v", running)
				require.Positive(t, running["2"])
			}
		})
	}
}

// What starts when a version is given up was told to run it, and serves nobody.
func TestAStartOfAVersionThatWasGivenUpServesNobody(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
	d.serve(500 * time.Millisecond)
	d.run(time.Second, nil)
	late := d.started
	require.NotEmpty(t, late, "the others start")
	d.started = nil
	e, _ := d.p.AbortRollout(d.now)
	d.did(e)
	more := d.acquireN(20)
	for _, i := range late {
		require.Equal(t, "2", i.Version())
		i.Runs("2")
		d.did(d.p.Up(d.now, i, 10))
		require.Zero(t, i.InFlight())
	}
	d.busy = append(d.busy, more...)
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"1": deployed + 2}, d.running())
}

// Starts fail now and then, also those of code that works.
func TestARolloutOutlivesStartsThatFailNowAndThen(t *testing.T) {
	d := deploy(t, true, nil)
	d.fails, d.each = "2", 3
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
	d.serve(30 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	require.Equal(t, []rollout.Cause{""}, d.causes())
	require.Equal(t, 3*deployed, d.starts["2"])
}

// Code that comes up and leaves again before it has served anybody is given up like code that does not come up.
func TestAVersionThatLeavesUnservedIsGivenUp(t *testing.T) {
	for name, cause := range map[string]pool.Cause{"in good order": "", "with an error": "crashed"} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, func(s *pool.Settings) { s.Scaling.Min = deployed })
			d.release(d.busy...)
			d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour}, false))
			for range 20 {
				leaves := d.started
				d.comeUp()
				for _, i := range leaves {
					if i.Version() == "2" {
						d.end(i, cause)
					}
				}
				d.endDrained()
				d.run(time.Second, nil)
			}
			require.Equal(t, rollout.Crashes, d.p.Rollout().Cause)
			require.Equal(t, 3, d.starts["2"])
		})
	}
}

// Nobody asks for anything: a minimum of instances is replaced one for one, and no old one is started meanwhile.
func TestARolloutOfAnIdleMinimum(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.Scaling.Min = 2 })
	d.release(d.busy...)
	d.busy = nil
	d.serve(3 * time.Minute)
	require.Equal(t, map[string]int{"1": 2}, d.running())
	old := d.starts["1"]
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": 2}, d.running())
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
	require.Equal(t, map[string]int{"1": old, "2": 2}, d.starts)
}

// Where as many exist as are allowed, and all are needed, an old instance goes first: otherwise old code would serve for ever.
func TestARolloutWithoutRoom(t *testing.T) {
	for name, change := range map[string]func(*pool.Settings){
		"environments": func(s *pool.Settings) { s.Scaling.Environments = deployed },
		"dollars": func(s *pool.Settings) {
			s.Scaling.Price, s.Scaling.DollarsPerHour = scaler.NewPrice(perHour, 0), deployed*perHour
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, change)
			lowest := deployed
			d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
			for range 300 {
				d.serve(100 * time.Millisecond)
				lowest = min(lowest, d.p.Stats().Ready)
				require.LessOrEqual(t, d.p.Stats().Live(), deployed)
			}
			require.Equal(t, map[string]int{"2": deployed}, d.running())
			require.GreaterOrEqual(t, lowest, deployed-1, "one at a time")
			require.Equal(t, rollout.Done, d.p.Rollout().Phase)
		})
	}
}

// One instance is all that may be: it makes room, and a version that does not come up costs three tries.
func TestARolloutOfTheOnlyEnvironment(t *testing.T) {
	only := func(s *pool.Settings) { s.Scaling.Environments, s.Scaling.Max, s.Scaling.Min = 1, 1, 1 }
	for _, fails := range []string{"", "2"} {
		d := &deployment{world: story(t, only), lambda: func() string { return "1" }, starts: map[string]int{}, fails: fails, answers: map[*pool.Instance]uint64{}}
		d.did(d.p.Route(d.now, one, rollout.Plan{}, false))
		d.did(d.p.Tick(d.now))
		d.serve(time.Second)
		require.Equal(t, map[string]int{"1": 1}, d.running())
		d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Second}, false))
		d.serve(time.Minute)
		if fails == "" {
			require.Equal(t, map[string]int{"2": 1}, d.running())
		} else {
			require.Equal(t, map[string]int{"1": 1}, d.running())
			require.Equal(t, rollout.Cause("init_failed"), d.p.Rollout().Cause)
			require.Equal(t, 3, d.starts["2"])
		}
	}
}

// Starts of the old version fail, and wait for the breaker: a new version is tried at once.
func TestANewVersionDoesNotWaitForTheBreakerOfTheOldOne(t *testing.T) {
	d := &deployment{world: story(t, nil), lambda: func() string { return "1" }, starts: map[string]int{}, fails: "1", answers: map[*pool.Instance]uint64{}}
	d.did(d.p.Route(d.now, one, rollout.Plan{}, false))
	for range 20 {
		d.acquire()
		d.comeUp()
		d.run(time.Second, nil)
	}
	require.NotEmpty(t, d.p.Stats().Blocked)
	d.did(d.p.Route(d.now, two, rollout.Plan{}, false))
	r := d.acquire()
	d.comeUp()
	require.Equal(t, pool.Leased, r.State())
}

// Whoever moves the alias may delete the old version at once.
func TestAnOldVersionThatIsDeleted(t *testing.T) {
	t.Run("before the move is known", func(t *testing.T) {
		d := deploy(t, true, nil)
		d.lambda = func() string { return "2" }
		d.acquireN(10)
		require.Equal(t, "1", d.started[0].Pin())
		d.end(d.takeStarted(), "not_found")
		d.did(d.p.Vanished(d.now, "1"))
		require.Empty(t, d.started[0].Pin(), "at once, as the alias points to")
		d.comeUp()
		d.serve(10 * time.Second)
		require.Equal(t, map[string]int{"2": deployed + 1}, d.running())
	})
	t.Run("during the rollout", func(t *testing.T) {
		d := deploy(t, true, nil)
		d.did(d.p.Route(d.now, two, rollout.Plan{Hold: 2 * time.Second}, false))
		d.acquireN(10)
		d.end(d.started[1], "not_found")
		d.started = d.started[:1]
		d.did(d.p.Vanished(d.now, "1"))
		d.serve(10 * time.Second)
		require.Equal(t, map[string]int{"2": deployed + 1}, d.running())
		require.Empty(t, d.p.Stats().Blocked)
		require.Equal(t, []rollout.Cause{""}, d.causes())
	})
	t.Run("and the new one is given up", func(t *testing.T) {
		d := deploy(t, true, nil)
		d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour}, false))
		d.serve(time.Second)
		d.did(d.p.Vanished(d.now, "1"))
		e, ok := d.p.AbortRollout(d.now)
		d.did(e)
		require.True(t, ok)
		d.serve(10 * time.Second)
		require.Equal(t, map[string]int{"1": deployed - 1, "2": 1}, d.running(), "what runs goes on")
	})
}

// A control stream that begins anew knows of no answers. Nor does a pool that takes over: what an instance has answered before says nothing
// of a rollout.
func TestOldAnswersAreNoNews(t *testing.T) {
	t.Run("of a stream that begins anew", func(t *testing.T) {
		d := deploy(t, true, nil)
		d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour, MaxErrors: 0.1}, false))
		d.serve(time.Second)
		for i := range d.p.Instances() {
			if i.Version() != "1" {
				continue
			}
			d.reports(i, 100, 5)
			before := answersOf(d.p.Rollout().Before)
			d.p.Answered(i, 0, 0)
			require.Equal(t, before, answersOf(d.p.Rollout().Before))
			d.reports(i, 1, 5)
			require.Equal(t, before+1, answersOf(d.p.Rollout().Before))
		}
	})
	t.Run("of the pool before", func(t *testing.T) {
		d := deploy(t, true, nil)
		p, heirs := succeed(t, settings(), d.now, d.p)
		for _, heir := range heirs {
			heir.Runs("1")
			heir.Counts()
		}
		p.Resume(d.now)
		p.Route(d.now, one, rollout.Plan{}, false)
		p.Route(d.now, two, rollout.Plan{Hold: time.Hour, MaxErrors: 0.1}, false)
		for _, heir := range heirs {
			p.Answered(heir, 1000, 900)
			p.Answered(heir, 1010, 901)
		}
		before := p.Rollout().Before
		answers, errors := before.Answers()
		require.Equal(t, []uint64{10 * deployed, deployed}, []uint64{answers, errors})
	})
}

func answersOf(s rollout.Sample) uint64 {
	answers, _ := s.Answers()
	return answers
}

// A report says how many answers were errors: a bad version is given up by it, and not by the next request.
func TestABadVersionIsGivenUpByTheReport(t *testing.T) {
	d := deploy(t, true, nil)
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour, MaxErrors: 0.1}, false))
	d.serve(time.Second)
	for i := range d.p.Instances() {
		if i.Version() == "2" {
			d.reports(i, 30, 30)
			d.did(d.p.Report(d.now, i, i.InFlight(), pool.DefaultDelay))
		}
	}
	require.Equal(t, rollout.Errors, d.p.Rollout().Cause)
}
