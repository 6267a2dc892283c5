package dispatch

import (
	"cmp"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// newDeployed is a world that keeps two instances, of the version that its qualifier points to. It must be called inside a
// synctest bubble.
func newDeployed(t *testing.T, r provider.Routing, change func(*config.Function)) *world {
	w := newWaitingWorld(t, func(f *config.Function) {
		f.Scaling.Min = 2
		f.Rollout.Hold = time.Second
		if change != nil {
			change(f)
		}
	})
	w.routing = r
	w.lead()
	w.pass(12 * time.Second)
	return w
}

// routes sets what may be read, and lets it be read.
func (w *world) routes(r provider.Routing, err error) {
	w.mu.Lock()
	w.routing, w.unreadable = r, err
	w.mu.Unlock()
	w.pass(12 * time.Second)
}

// pass lets time pass: what was started comes up, as the version that it was invoked as or as Lambda chooses, and what was told
// to drain ends.
func (w *world) pass(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		w.publish()
		for _, id := range w.instances() {
			i := w.instance(id)
			switch {
			case i == nil:
			case w.drainedFor(id) != "":
				w.end(id, provider.End{Report: &wire.Report{Reason: w.drainedFor(id)}, Version: w.runs(id)})
			case i.isUp:
			case w.failing != nil && w.failing(w.runs(id)):
				w.end(id, w.failure)
			default:
				w.Up(relays.Up{Instance: id, Environment: "env-" + id, Slots: 10, Peer: relays.Peer{
					FunctionVersion: w.runs(id), Features: wire.PeerFeatures(),
				}})
			}
		}
	}
	synctest.Wait()
}

// runs is the version that an instance runs.
func (w *world) runs(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.versions[id] == "" {
		return cmp.Or(w.routing.Route.Version, "$LATEST")
	}
	return w.versions[id]
}

// read is how often the qualifier was.
func (w *world) read() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads
}

func (w *world) status() operator.Function { return w.Functions()[0] }

func to(version string) provider.Routing {
	return provider.Routing{Route: pool.Route{Version: version}}
}

func TestAMovedAliasBeginsARollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		require.Equal(t, map[string]int{"1": 2}, w.status().Versions)
		require.Nil(t, w.status().Rollout)
		w.routes(to("2"), nil)
		w.pass(5 * time.Second)
		f := w.status()
		require.Equal(t, map[string]int{"2": 2}, f.Versions)
		require.Equal(t, map[string]uint64{"done": 1}, f.Rollouts)
		require.Equal(t, []string{"1", "2", "done"}, []string{f.Rollout.From, f.Rollout.To, f.Rollout.Phase})
		require.NotNil(t, f.Rollout.EndedAt)
	})
}

// $LATEST has a revision and no number; an alias may lead to it.
func TestAnotherRevisionBeginsARollout(t *testing.T) {
	for name, tt := range map[string][2]provider.Routing{
		"of $LATEST":   {{Revision: "a"}, {Revision: "b"}},
		"in place of":  {to("1"), {Revision: "a"}},
		"and a number": {{Revision: "a"}, to("1")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDeployed(t, tt[0], nil)
				before := w.instances()
				w.routes(tt[1], nil)
				w.pass(5 * time.Second)
				require.Equal(t, map[string]uint64{"done": 1}, w.status().Rollouts)
				require.Equal(t, 2, w.status().Ready)
				for _, id := range before {
					require.Nil(t, w.instance(id), "replaced")
				}
				w.pass(time.Minute)
				require.Equal(t, map[string]uint64{"done": 1}, w.status().Rollouts, "and only once")
			})
		})
	}
}

func TestAVersionIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, provider.Routing{}, nil)
		w.pass(time.Minute)
		require.Equal(t, 1, w.read())
	})
}

// All functions together are read no more than once a second, and not all at once at the start, nor when all get another configuration.
func TestManyFunctionsAreReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var functions []config.Function
		for n := range 40 {
			f := config.DefaultFunction()
			f.Name = fmt.Sprintf("f%d", n)
			functions = append(functions, f)
		}
		w := newWorldOf(t, config.Budget{}, functions...)
		w.mu.Lock()
		w.routing = to("1")
		w.mu.Unlock()
		for range 2 {
			began := w.read()
			for second := range 120 {
				before := w.read()
				time.Sleep(time.Second)
				synctest.Wait()
				require.LessOrEqual(t, w.read()-before, 11, "second %d", second)
			}
			require.LessOrEqual(t, w.read()-began, 40+120)
			require.Greater(t, w.read()-began, 100)
			for n := range functions {
				functions[n].Queue.Limit++
			}
			w.load(append(functions, aFunction("new", nil))...)
		}
	})
}

// Without the right to read, it is seen and said, and the first instance of another version tells.
func TestAQualifierThatMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		w.routes(to("2"), fmt.Errorf("alias: %w: no", provider.ErrForbidden))
		f := w.status()
		require.Len(t, f.Warnings, 1)
		require.Equal(t, operator.Unseen, f.Warnings[0].Word)
		require.Contains(t, f.Warnings[0].Detail, "lambda:GetAlias")
		require.Contains(t, f.Warnings[0].Detail, "alias: not permitted: no")
		require.Equal(t, map[string]int{"1": 2}, f.Versions)
		require.NoError(t, w.DrainInstance(w.instances()[0]))
		w.pass(5 * time.Second)
		require.Equal(t, map[string]int{"2": 2}, w.status().Versions)
		require.Equal(t, map[string]uint64{"done": 1}, w.status().Rollouts)

		w.routes(to("2"), nil)
		w.pass(forbiddenPause + time.Minute)
		require.Empty(t, w.status().Warnings)
		require.Equal(t, map[string]uint64{"done": 1}, w.status().Rollouts)
	})
}

// Rights are not what is missing where there is nothing to read.
func TestAQualifierThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		w.routes(to("1"), fmt.Errorf("alias: %w: 404", provider.ErrGone))
		w.pass(time.Minute)
		f := w.status()
		require.Len(t, f.Warnings, 1)
		require.Equal(t, operator.Unseen, f.Warnings[0].Word)
		require.Contains(t, f.Warnings[0].Detail, "Lambda has no such function or qualifier")
		require.NotContains(t, f.Warnings[0].Detail, "Allow")
		require.Equal(t, map[string]int{"1": 2}, f.Versions, "what runs serves on")
	})
}

// Lambda may be away for a moment: that is no news.
func TestAFewFailuresToReadAreNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		w.routes(to("1"), errors.New("503"))
		require.Empty(t, w.status().Warnings)
		require.Equal(t, pool.Route{Version: "1"}, w.named("web").pool.Routed())
		w.pass(time.Minute)
		require.Len(t, w.status().Warnings, 1)
		require.Equal(t, pool.Route{}, w.named("web").pool.Routed(), "what it leads to by now, nobody knows")
	})
}

func TestAVersionThatMayNotBeInvokedByItsNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		w.failure = provider.End{Cause: scaler.Denied, Detail: "AccessDeniedException", NeverRan: true}
		first := true
		w.failing = func(version string) bool {
			fails := version == "2" && first // as the alias it may be
			first = first && !fails
			return fails
		}
		w.routes(to("2"), nil)
		w.pass(5 * time.Second)
		require.Equal(t, map[string]int{"2": 2}, w.status().Versions)
		require.Equal(t, map[string]uint64{"done": 1, "superseded": 1}, w.status().Rollouts)
		ids := w.instances()
		w.mu.Lock()
		last := w.versions[ids[len(ids)-1]]
		w.mu.Unlock()
		require.Empty(t, last, "invoked as the qualifier points to")
		require.Empty(t, w.status().Blocked)
	})
}

func TestAnOperatorStartsAndAbortsARollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), func(f *config.Function) { f.Rollout.Watch = 0 })
		w.mu.Lock()
		w.routing = to("2")
		w.mu.Unlock()
		hold := "1h"
		plan := operator.RolloutPlan{Steps: []float64{0.5, 1}, Hold: &hold}
		looking := &w.named("web").looking
		looking.Lock() // somebody reads
		for range 100 {
			require.NoError(t, w.StartRollout("web", plan))
		}
		looking.Unlock()
		synctest.Wait()
		require.Equal(t, 1, w.read(), "many are one")
		w.pass(5 * time.Second)
		f := w.status()
		require.Equal(t, map[string]int{"1": 1, "2": 1}, f.Versions)
		require.Equal(t, "watching", f.Rollout.Phase)
		require.NoError(t, w.AbortRollout("web"))
		w.pass(5 * time.Second)
		f = w.status()
		require.Equal(t, map[string]int{"1": 2}, f.Versions)
		require.Equal(t, []string{"aborted", "operator", "an operator has ended it"}, []string{f.Rollout.Phase, f.Rollout.Cause, f.Rollout.Detail})
		require.ErrorIs(t, w.AbortRollout("web"), operator.ErrNotPossible)
		require.NoError(t, w.StartRollout("web", operator.RolloutPlan{}))
		w.pass(5 * time.Second)
		require.Equal(t, map[string]int{"2": 2}, w.status().Versions, "it is tried again if somebody says so")
		require.Equal(t, pool.Route{}, w.named("web").pool.Routed(), "the next move is noticed, although nobody looks")
	})
}

// A function may be removed, and be back as one whose peers register by themselves, before Lambda has answered.
func TestARolloutOfAFunctionThatBecomesStaticMeanwhile(t *testing.T) {
	for name, unreadable := range map[string]error{"": nil, "unreadable": provider.ErrForbidden} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDeployed(t, to("1"), func(f *config.Function) { f.Rollout.Watch = 0 })
				before := len(w.instances())
				w.mu.Lock()
				w.routing, w.unreadable = to("2"), unreadable
				w.reading = func() {
					w.Configure(Configuration{Pricing: config.Default().Pricing})
					w.Configure(Configuration{
						Pricing:   config.Default().Pricing,
						Functions: webFunctions(func(f *config.Function) { f.Provider = config.ProviderStatic }),
						Tokens:    map[string]func() string{"web": func() string { return staticToken }},
					})
				}
				w.mu.Unlock()
				require.NoError(t, w.StartRollout("web", operator.RolloutPlan{}))
				w.pass(5 * time.Second)
				require.Len(t, w.instances(), before, "nothing can be started")
				require.Nil(t, w.status().Rollout)
			})
		})
	}
}

// An operator who deploys learns at once what makes no sense.
func TestARolloutThatMakesNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Provider = config.ProviderStatic })
		require.ErrorIs(t, w.StartRollout("web", operator.RolloutPlan{}), operator.ErrNotPossible)
		require.ErrorIs(t, w.StartRollout("none", operator.RolloutPlan{}), operator.ErrNotFound)
		require.ErrorIs(t, w.AbortRollout("none"), operator.ErrNotFound)
		require.ErrorIs(t, w.DrainFunction("none", false), operator.ErrNotFound)
		off := newWorld(t, func(f *config.Function) { f.Disabled = true })
		require.ErrorContains(t, off.StartRollout("web", operator.RolloutPlan{}), "it is disabled")
		require.Zero(t, off.reads)
	})
}

// A rollout that is wanted begins although nobody can read the qualifier.
func TestARolloutWithoutTheRightToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		before := w.instances()
		w.mu.Lock()
		w.routing, w.unreadable = to("2"), errors.New("503")
		w.mu.Unlock()
		require.NoError(t, w.StartRollout("web", operator.RolloutPlan{}))
		w.pass(5 * time.Second)
		require.Equal(t, map[string]int{"2": 2}, w.status().Versions)
		require.NotContains(t, w.instances()[len(before):], "1")
	})
}

func TestARolloutIsNotBegunWhileTheControlPlaneStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.halt()
		w.background.Wait()
		before := w.read()
		require.NoError(t, w.StartRollout("web", operator.RolloutPlan{}))
		synctest.Wait()
		require.Equal(t, before, w.read())
	})
}

// What is said when a version is given up holds why its last instance failed.
func TestAVersionThatIsGivenUpSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		w.failure = provider.End{Cause: scaler.InitFailed, Detail: "no database"}
		w.failing = func(version string) bool { return version == "2" }
		w.routes(to("2"), nil)
		w.pass(10 * time.Second)
		f := w.status()
		require.Equal(t, map[string]int{"1": 2}, f.Versions)
		require.Equal(t, map[string]uint64{"init_failed": 1}, f.Rollouts)
		require.Contains(t, f.Rollout.Detail, "instances of the new version do not come up: init_failed; the last failure: no database")
		require.False(t, f.Rollout.Back, "nothing of it is left")
		require.Empty(t, f.Blocked)
		require.EqualValues(t, 3, f.StartFailures["init_failed"])
	})
}

// Steps are counted and said one by one, those that end and begin in the same moment too.
func TestARolloutThatAnotherReplacesIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), func(f *config.Function) { f.Rollout.Hold = time.Hour })
		w.routes(to("2"), nil)
		w.routes(to("3"), nil)
		w.routes(to("1"), nil)
		require.Equal(t, map[string]uint64{string(rollout.Superseded): 2}, w.status().Rollouts)
		require.Equal(t, map[string]int{"1": 2}, w.status().Versions)
	})
}

// The old version was deleted before its instances were replaced: nobody waits for the breaker.
func TestAVersionThatExistsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), func(f *config.Function) { f.Rollout.Watch = time.Hour })
		w.failure = provider.End{Cause: scaler.NotFound, Detail: "ResourceNotFoundException", NeverRan: true}
		w.mu.Lock()
		w.routing = to("2")
		w.mu.Unlock()
		w.failing = func(version string) bool { return version == "1" }
		require.NoError(t, w.DrainInstance(w.instances()[0]))
		w.pass(10 * time.Second)
		require.Equal(t, map[string]int{"2": 2}, w.status().Versions)
		require.Empty(t, w.status().Blocked)
	})
}
