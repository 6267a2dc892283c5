package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// versioned is a function whose alias points to version 1. 2 is as good, 3 does not come up, 4 answers with errors, 5 is slow,
// 6 dies of its first request and 7 never answers.
func versioned(t *testing.T, init time.Duration) controlplanetest.Function {
	f := controlplanetest.App(t, "web", controlplanetest.Library)
	f.Scaling.Preference = config.PreferBalanced
	f.Lambda.Qualifier = "live"
	f.Rollout.Watch = time.Second
	f.Local.InitTimeout = 30 * time.Second
	f.Local.Env[contract.StartDelayVariable] = strconv.FormatInt(init.Milliseconds(), 10)
	f.Local.Versions = []lambdalocal.Version{
		{Name: "1"},
		{Name: "2"},
		{Name: "3", Command: []string{"/bin/false"}},
		{Name: "4", Env: map[string]string{contract.FailVariable: "1"}},
		{Name: "5", Env: map[string]string{contract.SlowVariable: "300"}},
		{Name: "6", Env: map[string]string{contract.DiesVariable: "1"}},
		{Name: "7", Env: map[string]string{contract.HangsVariable: "1"}},
	}
	f.Local.Aliases = []lambdalocal.Alias{{Name: "live", Version: "1"}}
	return f
}

// moveAlias makes the alias lead to a version, and to others by weight.
func moveAlias(t *testing.T, s *controlplanetest.Stack, version string, weights map[string]float64) {
	t.Helper()
	client := lambda.New(lambda.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.Lambda.InvokeURL()), Credentials: aws.AnonymousCredentials{},
	})
	_, err := client.UpdateAlias(t.Context(), &lambda.UpdateAliasInput{
		FunctionName: aws.String("web"), Name: aws.String("live"), FunctionVersion: aws.String(version),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights},
	})
	require.NoError(t, err)
}

// busyOf counts the environments of a version that serve, and all that there were.
func busyOf(s *controlplanetest.Stack, version string) (busy, all int) {
	for _, e := range s.Lambda.Environments() {
		if e.Version == version {
			all++
			if e.State == lambdalocal.StateBusy {
				busy++
			}
		}
	}
	return busy, all
}

// requests sends so many a second, each of a tenth of a second.
func requests(t *testing.T, s *controlplanetest.Stack, perSecond int) *load {
	l := newLoad(t, s, "/web/sleep?ms=100")
	l.pause = 100 * time.Millisecond
	l.start(perSecond/5, endless)
	return l
}

// percentile is what so many percent of the requests took at most.
func percentile(results []result, percent int) time.Duration {
	var took []time.Duration
	for _, r := range results {
		took = append(took, r.took)
	}
	slices.Sort(took)
	return took[len(took)*percent/100]
}

// longest is how long the slowest of the requests took that began in the time.
func longest(results []result, from, to time.Time) time.Duration {
	most := time.Duration(0)
	for _, r := range results {
		if !r.began.Before(from) && r.began.Before(to) {
			most = max(most, r.took)
		}
	}
	return most
}

// longestColdWait is how long those of the requests that began after a time waited at most for an instance in a new environment.
func longestColdWait(t *testing.T, results []result, from time.Time) time.Duration {
	t.Helper()
	most := time.Duration(0)
	for _, r := range results {
		if !r.began.Before(from) {
			most = max(most, r.coldWait(t))
		}
	}
	return most
}

// Scenario 53: code is deployed under load, and nobody notices: no request waits for a cold start, no more is started than is
// needed, and the old code is gone within a minute.
func TestLongRolloutUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		perSecond int
		init      time.Duration
	}{{50, 5 * time.Second}, {240, 14 * time.Second}} {
		t.Run(fmt.Sprintf("%d a second, init %v", tt.perSecond, tt.init), func(t *testing.T) {
			function := versioned(t, tt.init)
			function.ServerTiming.Enabled = true
			s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{function}})
			warm := requests(t, s, tt.perSecond)
			s.Eventually("warm", func() error {
				if f := s.Function("web"); f.Ready == 0 || f.QueueDepth > 0 || f.Starting > 0 {
					return fmt.Errorf("%d are ready, %d start, %d requests wait", f.Ready, f.Starting, f.QueueDepth)
				}
				return nil
			})
			require.Greater(t, longestColdWait(t, warm.stop(), time.Time{}), tt.init/2, "it has an init, or this test shows nothing")
			l := requests(t, s, tt.perSecond)
			began, steady := time.Now(), billed(s)
			most := mostReady(s, began.Add(10*time.Second), nil)
			moved, before := time.Now(), billed(s)
			moveAlias(t, s, "2", nil)
			gone := time.Time{}
			mostReady(s, moved.Add(time.Minute), func() bool {
				if busy, _ := busyOf(s, "1"); busy > 0 {
					return false
				}
				gone = time.Now()
				return true
			})
			require.NotZero(t, gone, "the old code serves on")
			factor := (billed(s) - before) / gone.Sub(moved).Seconds() / ((before - steady) / moved.Sub(began).Seconds())
			s.Eventually("done", versions(s, "2"))
			results := l.stop()
			requireServed(t, results)
			cold := longestColdWait(t, results, moved)
			_, starts := busyOf(s, "2")
			t.Logf("longest before %v, after %v, for a cold start %v; %d ready before, %d starts; billed %.2f times as much; old code gone after %v",
				longest(results, began, moved), longest(results, moved, time.Now()), cold, most, starts, factor, gone.Sub(moved))
			require.Less(t, cold, tt.init/2, "but for one that waits for a slot anyway as an instance comes up")
			require.LessOrEqual(t, starts, (5*most+3)/4)
			f := s.Function("web")
			require.Equal(t, map[string]uint64{"done": 1}, f.Rollouts)
		})
	}
}

// billed is what the function has cost so far, in GB-seconds.
func billed(s *controlplanetest.Stack) float64 { return s.Function("web").Bill.GBSeconds }

// mostReady is the most instances that were ready at once until then, or until something is so.
func mostReady(s *controlplanetest.Stack, until time.Time, so func() bool) (most int) {
	for time.Now().Before(until) && (so == nil || !so()) {
		most = max(most, s.Function("web").Ready)
		time.Sleep(20 * time.Millisecond) // between looks, not for a state
	}
	return most
}

// Scenario 53: a version that does not come up serves nobody, and the old one goes on; nothing is tried again until the alias
// moves.
func TestARolloutOfBrokenCode(t *testing.T) {
	t.Parallel()
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{versioned(t, 0)}})
	l := requests(t, s, 50)
	s.Eventually("version 1", versions(s, "1"))
	moveAlias(t, s, "3", nil)
	s.Eventually("given up", func() error {
		if f := s.Function("web"); f.Rollouts["crashed"] == 0 {
			return fmt.Errorf("%+v", f.Rollout)
		}
		return nil
	})
	f := s.Function("web")
	require.Equal(t, "aborted", f.Rollout.Phase)
	require.Contains(t, f.Rollout.Detail, "instances of the new version do not come up")
	require.Empty(t, f.Blocked, "starts of the old version are not held back")
	moveAlias(t, s, "2", nil)
	s.Eventually("version 2", versions(s, "2"))
	requireServed(t, l.stop())
	require.EqualValues(t, 3, s.Function("web").StartFailures["crashed"])
	require.Equal(t, map[string]uint64{"crashed": 1, "done": 1}, s.Function("web").Rollouts)
}

// Scenario 53: a version comes up and dies of its first request. It is tried three times, each time by one request, although its
// init takes longer than a step is watched; then the old one goes on. The same for a version that has a weight.
func TestARolloutOfCodeThatDiesOfItsFirstRequest(t *testing.T) {
	t.Parallel()
	f := versioned(t, 2*time.Second)
	f.Rollout.Hold = time.Second
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	warm := requests(t, s, 50)
	s.Eventually("version 1", versions(s, "1"))
	warm.stop()
	for k, move := range []func(){
		func() { moveAlias(t, s, "6", nil) },
		func() { moveAlias(t, s, "1", map[string]float64{"6": 0.5}) },
	} {
		l := requests(t, s, 50)
		move()
		s.Eventually("given up", func() error {
			if f := s.Function("web"); f.Rollouts["crashes"] <= uint64(k) {
				return fmt.Errorf("%+v", f.Rollout)
			}
			return versions(s, "1")()
		})
		requireServedOrLost(t, l.stop(), 3)
	}
	require.Equal(t, map[string]uint64{"crashes": 2}, s.Function("web").Rollouts)
}

// Scenario 53: a version comes up, takes requests and never answers. Three run into their timeout, longer than a step is watched;
// then the old one goes on.
func TestARolloutOfCodeThatNeverAnswers(t *testing.T) {
	t.Parallel()
	f := versioned(t, 0)
	f.Rollout.Hold = time.Second
	f.Timeouts.FirstByte = 3 * time.Second
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	l := requests(t, s, 50)
	s.Eventually("version 1", versions(s, "1"))
	moveAlias(t, s, "7", nil)
	s.Eventually("given up", gaveUp(s, "hangs"))
	require.Equal(t, 3, timedOut(t, l.stop()))
	require.Equal(t, map[string]uint64{"hangs": 1}, s.Function("web").Rollouts)
	require.Contains(t, s.Function("web").Rollout.Detail, "answers none")
}

// Its health check answers, and nothing else. The old version goes on, although the step that is watched is shorter than the timeout.
func TestARolloutOfCodeThatAnswersItsHealthCheckOnly(t *testing.T) {
	t.Parallel()
	f := versioned(t, 0)
	f.Rollout.Hold = 2 * time.Second
	f.Timeouts.FirstByte = 5 * time.Second
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	l := requests(t, s, 100)
	checks := newLoad(t, s, "/web/hello")
	checks.pause = 50 * time.Millisecond
	checks.start(1, endless)
	s.Eventually("version 1", versions(s, "1"))
	moveAlias(t, s, "7", nil)
	s.Eventually("given up", gaveUp(s, "hangs"))
	require.LessOrEqual(t, timedOut(t, l.stop()), 20, "what one instance takes at once, twice at most")
	for _, r := range checks.stop() {
		require.True(t, r.served())
	}
	require.Equal(t, map[string]uint64{"hangs": 1}, s.Function("web").Rollouts)
}

// timedOut is how many of the requests were not answered in time. All others must have been served.
func timedOut(t *testing.T, results []result) (late int) {
	for _, r := range results {
		if !r.served() {
			require.Equal(t, "504 response_timeout", r.failure())
			late++
		}
	}
	return late
}

// versions expects that only one version is ready, and that no rollout is under way.
func versions(s *controlplanetest.Stack, want string) func() error {
	return func() error {
		f := s.Function("web")
		if f.Ready == 0 || f.Versions[want] != f.Ready || f.Rollout != nil && f.Rollout.EndedAt == nil {
			return fmt.Errorf("%v of %d ready, rollout %+v", f.Versions, f.Ready, f.Rollout)
		}
		return nil
	}
}

// Scenario 53: an alias with weights has both versions served, without an end of rollouts; a drain replaces all, and no request
// waits for it.
func TestAnAliasWithWeightsIsServedByBothVersions(t *testing.T) {
	t.Parallel()
	f := versioned(t, 0)
	f.Scaling.Min, f.Scaling.Concurrency = 4, 5
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	l := requests(t, s, 50)
	s.Eventually("version 1", versions(s, "1"))
	moveAlias(t, s, "1", map[string]float64{"2": 0.25})
	both := func() error {
		f := s.Function("web")
		if f.Versions["1"] == 0 || f.Versions["2"] == 0 || f.Rollout == nil || f.Rollout.Phase != "done" {
			return fmt.Errorf("%v, rollout %+v", f.Versions, f.Rollout)
		}
		return nil
	}
	s.Eventually("both", both)
	before := ready(s)
	status, body := s.AdminPost("/api/v1/functions/web/drain")
	require.Equal(t, http.StatusAccepted, status, body)
	s.Eventually("all others", func() error {
		for _, id := range ready(s) {
			if slices.Contains(before, id) {
				return fmt.Errorf("%s is there still", id)
			}
		}
		return both()
	})
	requireServed(t, l.stop())
	require.EqualValues(t, 2, s.Function("web").Rollouts["done"], "one for the alias and one for the drain")
}

// ready lists the ids of the instances that serve.
func ready(s *controlplanetest.Stack) (ids []string) {
	for _, i := range s.Instances("web") {
		if i.State == "ready" {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

// rollsOut starts a rollout as an operator does.
func rollsOut(t *testing.T, s *controlplanetest.Stack, plan string) {
	t.Helper()
	status, body := s.AdminDo(http.MethodPost, "/api/v1/functions/web/rollout", plan)
	require.Equal(t, http.StatusAccepted, status, body)
}

// gaveUp expects that a rollout was given up for a cause, and that all is as before.
func gaveUp(s *controlplanetest.Stack, cause string) func() error {
	return func() error {
		f := s.Function("web")
		if f.Rollout == nil || f.Rollout.Cause != cause || f.Rollout.Back {
			return fmt.Errorf("rollout %+v", f.Rollout)
		}
		return versions(s, "1")()
	}
}

// Scenario 53: an operator rolls out by steps, and gives it up; versions that answer with errors, or late, are given up by
// themselves.
func TestLongRolloutOfAnOperator(t *testing.T) {
	t.Parallel()
	f := versioned(t, 0)
	f.Scaling.Min, f.Scaling.Concurrency, f.Rollout.Watch = 4, 5, 0
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	l := requests(t, s, 50)
	s.Eventually("version 1", versions(s, "1"))

	moveAlias(t, s, "2", nil)
	rollsOut(t, s, `{"steps": [0.5], "hold": "1s"}`)
	s.Eventually("half", func() error {
		if f := s.Function("web"); f.Versions["1"] != 2 || f.Versions["2"] != 2 {
			return fmt.Errorf("%v, %+v", f.Versions, f.Rollout)
		}
		return nil
	})
	status, body := s.AdminDo(http.MethodDelete, "/api/v1/functions/web/rollout", "")
	require.Equal(t, http.StatusAccepted, status, body)
	s.Eventually("given up", gaveUp(s, "operator"))
	requireServed(t, l.stop())

	moveAlias(t, s, "4", nil)
	l = requests(t, s, 50)
	rollsOut(t, s, `{"steps": [0.25], "hold": "1m", "max_errors": 0.1}`)
	s.Eventually("given up", gaveUp(s, "errors"))
	require.Contains(t, s.Function("web").Rollout.Detail, "of the new version's answers are errors")
	failed := 0
	for _, r := range l.stop() {
		if !r.served() {
			require.Equal(t, "this version fails\n", r.body, "of anything else")
			failed++
		}
	}
	require.Positive(t, failed)

	moveAlias(t, s, "5", nil)
	l = requests(t, s, 100)
	rollsOut(t, s, `{"steps": [0.5], "hold": "1m", "max_slower": 2}`)
	s.Eventually("given up", gaveUp(s, "slow"))
	requireServed(t, l.stop())
	require.Equal(t, map[string]uint64{"operator": 1, "errors": 1, "slow": 1}, s.Function("web").Rollouts)
	t.Logf("%d requests failed on the instance that was tried", failed)
}

// Scenario 53: where nobody asks what the alias points to, the first instance of another version tells. And ?now drains at once.
func TestAnInstanceTellsThatTheAliasHasMoved(t *testing.T) {
	t.Parallel()
	f := versioned(t, 0)
	f.Scaling.Min, f.Scaling.Concurrency, f.Rollout.Watch, f.Rollout.Hold = 4, 5, 0, time.Second
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	l := requests(t, s, 50)
	s.Eventually("version 1", versions(s, "1"))
	moveAlias(t, s, "2", nil)
	status, body := s.AdminPost("/api/v1/instances/" + ready(s)[0] + "/drain")
	require.Equal(t, http.StatusAccepted, status, body)
	s.Eventually("version 2", versions(s, "2"))
	require.Equal(t, map[string]uint64{"done": 1}, s.Function("web").Rollouts)

	before := ready(s)
	status, body = s.AdminPost("/api/v1/functions/web/drain?now")
	require.Equal(t, http.StatusAccepted, status, body)
	for _, id := range ready(s) {
		require.NotContains(t, before, id, "at once")
	}
	s.Eventually("all others", versions(s, "2"))
	require.EqualValues(t, 1, s.Function("web").Rollouts["done"], "that was no rollout")
	requireServed(t, l.stop())
}
