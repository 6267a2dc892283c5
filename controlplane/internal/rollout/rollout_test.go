package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
)

var dawn = time.Unix(1_000_000, 0)

const n = 20

// reach lets as many instances be up as the step wants.
func reach(now time.Time, r *rollout.Rollout) { r.Look(now, n, r.Want(n), n-r.Want(n)) }

func TestOneInstanceIsTriedBeforeAllFollow(t *testing.T) {
	r := rollout.Begin(dawn, rollout.Plan{Hold: 3 * time.Second}, 1)
	require.Equal(t, 1, r.Want(n))
	require.False(t, r.Tried())
	reach(dawn, r)
	require.Equal(t, rollout.Watching, r.Phase())
	require.True(t, r.Tried())
	require.Equal(t, dawn.Add(3*time.Second), r.Next(dawn))
	r.Look(dawn.Add(2*time.Second), n, 1, n-1)
	require.Equal(t, 1, r.Want(n))
	r.Look(dawn.Add(3*time.Second), n, 1, n-1)
	require.Equal(t, n, r.Want(n))
	require.Equal(t, rollout.Starting, r.Phase())
	r.Look(dawn.Add(4*time.Second), n, n, 5)
	require.Equal(t, rollout.Finishing, r.Phase())
	r.Look(dawn.Add(5*time.Second), n, n, 0)
	require.Equal(t, rollout.Done, r.Phase())
}

func TestStepsAreTakenInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := []float64{0.1, 0.25, 0.5}[:rapid.IntRange(0, 3).Draw(t, "steps")]
		share := rapid.SampledFrom([]float64{0.1, 0.5, 1}).Draw(t, "share")
		size := rapid.IntRange(1, 100).Draw(t, "n")
		known := rapid.Bool().Draw(t, "known")
		r := rollout.Begin(dawn, rollout.Plan{Steps: steps, Hold: time.Second, Known: known}, share)
		want := r.Want(size)
		if !known {
			require.Equal(t, 1, want)
		}
		now := dawn
		for k := 0; !r.Phase().Over(); k++ {
			require.Less(t, k, 30)
			require.True(t, r.Want(size) >= want || share < 1 && want == 1, "never less than before, but for one that was tried for a share of none")
			want = r.Want(size)
			now = now.Add(time.Second)
			r.Look(now, size, want, 0)
		}
		require.Equal(t, rollout.Done, r.Phase())
		require.Equal(t, r.Last(size), r.Want(size))
		require.InDelta(t, share*float64(size), r.Last(size), 0.5)
	})
}

func TestStartsThatFailAreTriedThreeTimes(t *testing.T) {
	r := rollout.Begin(dawn, rollout.Plan{}, 1)
	r.Failed(dawn, dawn, "init_failed")
	require.False(t, r.MayStart(dawn))
	require.True(t, r.MayStart(dawn.Add(time.Second)))
	r.Failed(dawn.Add(time.Second), dawn.Add(time.Second), "init_failed")
	require.False(t, r.MayStart(dawn.Add(2*time.Second)), "twice as long")
	for range 10 {
		r.Failed(dawn.Add(4*time.Second), dawn, "init_failed")
	}
	require.Equal(t, 2, r.Failures(), "they were made together with one that has failed: the same try")
	r.Failed(dawn.Add(4*time.Second), dawn.Add(3*time.Second), "init_failed")
	require.Equal(t, rollout.Aborted, r.Phase())
	require.Equal(t, rollout.Cause("init_failed"), r.Cause())
	reach(dawn.Add(5*time.Second), r)
	require.Equal(t, rollout.Aborted, r.Phase(), "for good")
}

func TestAStartThatComesUpForgivesThoseBefore(t *testing.T) {
	r := rollout.Begin(dawn, rollout.Plan{Steps: []float64{0.5, 1}}, 1)
	for range 3 {
		require.Equal(t, rollout.Starting, r.Phase())
		for range 4 { // one of three comes up
			r.Failed(dawn, dawn, "crashed")
			r.Failed(dawn, dawn, "crashed")
			r.Up()
			require.True(t, r.MayStart(dawn))
		}
		want := r.Want(n)
		reach(dawn, r)
		r.Look(dawn, n, want, n) // on to the next step
	}
	require.Equal(t, rollout.Done, r.Phase())
}

func TestAnInstanceThatKeepsCrashingAborts(t *testing.T) {
	r := rollout.Begin(dawn, rollout.Plan{Hold: time.Hour}, 1)
	reach(dawn, r)
	for range 3 {
		r.Crashed(dawn)
		r.Look(dawn, n, 0, n)
		r.Look(dawn, n, 1, n-1)
	}
	require.Equal(t, rollout.Aborted, r.Phase())
	require.Equal(t, rollout.Crashes, r.Cause())
}

// What is not there cannot be seen to work: after a crash the step is watched anew, however long the next instance takes to come.
func TestACrashBeginsTheWatchAnew(t *testing.T) {
	r := rollout.Begin(dawn, rollout.Plan{Hold: 3 * time.Second, Steps: []float64{0.5, 1}}, 1)
	now := dawn
	for _, want := range []int{1, n / 2} {
		for k := range 2 {
			require.Equal(t, want, r.Want(n))
			r.Look(now, n, want, n-want)
			require.Equal(t, rollout.Watching, r.Phase())
			now = now.Add(time.Second)
			r.Unreachable(now)
			require.False(t, r.MayStart(now), "it may have crashed")
			r.Crashed(now)
			r.Look(now, n, want-1, n-want)
			require.False(t, r.MayStart(now))
			require.Equal(t, now.Add(time.Second<<k), r.Next(now))
			now = now.Add(time.Minute)
		}
		r.Look(now, n, want, n-want)
		now = now.Add(2 * time.Second)
		r.Look(now, n, want, n-want)
		require.Equal(t, want, r.Want(n))
		now = now.Add(time.Second)
		r.Look(now, n, want, n-want)
		require.Greater(t, r.Want(n), want)
	}
}

func TestAVersionThatAnswersWithErrorsIsGivenUp(t *testing.T) {
	for name, tt := range map[string]struct {
		most              float64
		oldErrors, errors uint64
		answers           uint64
		aborts            bool
	}{
		"all fail":           {0.1, 0, 50, 50, true},
		"few answers":        {0.1, 0, 19, 19, false},
		"few errors":         {0.1, 0, 2, 20, false},
		"within the limit":   {0.1, 0, 9, 100, false},
		"above the limit":    {0.1, 0, 11, 100, true},
		"the old one, too":   {0.1, 30, 35, 100, false},
		"worse than the old": {0.1, 30, 45, 100, true},
		"not watched":        {0, 0, 100, 100, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := rollout.Begin(dawn, rollout.Plan{Hold: time.Hour, MaxErrors: tt.most}, 1)
			reach(dawn, r)
			r.Answered(false, 100, tt.oldErrors)
			r.Answered(true, tt.answers, tt.errors)
			reach(dawn.Add(time.Second), r)
			require.Equal(t, tt.aborts, r.Phase() == rollout.Aborted)
			if tt.aborts {
				require.Equal(t, rollout.Errors, r.Cause())
			}
		})
	}
}

func TestASlowVersionIsGivenUp(t *testing.T) {
	for name, tt := range map[string]struct {
		most     float64
		old, now time.Duration
		requests int
		aborts   bool
	}{
		"three times":       {2, 100 * time.Millisecond, 300 * time.Millisecond, 300, true},
		"a little":          {2, 100 * time.Millisecond, 150 * time.Millisecond, 300, false},
		"few requests":      {2, 100 * time.Millisecond, time.Minute, 100, false},
		"nobody notices":    {2, 2 * time.Millisecond, 20 * time.Millisecond, 300, false},
		"not watched":       {0, 100 * time.Millisecond, time.Minute, 300, false},
		"one in a thousand": {2, 100 * time.Millisecond, 100 * time.Millisecond, 1000, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := rollout.Begin(dawn, rollout.Plan{Hold: time.Hour, MaxSlower: tt.most}, 1)
			reach(dawn, r)
			for range tt.requests {
				r.Took(false, tt.old)
				r.Took(true, tt.now)
			}
			r.Took(true, 10*time.Minute)
			reach(dawn.Add(time.Second), r)
			require.Equal(t, tt.aborts, r.Phase() == rollout.Aborted)
		})
	}
}

func TestTheP99IsAFifthTooLargeAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		took := time.Duration(rapid.IntRange(2, 600_000).Draw(t, "ms")) * time.Millisecond
		r := rollout.Begin(dawn, rollout.Plan{}, 1)
		for range 300 {
			r.Took(true, took)
		}
		_, after := r.Samples()
		require.GreaterOrEqual(t, after.P99(), took)
		require.LessOrEqual(t, after.P99(), took*13/10)
	})
}

// Nothing may happen in a function without requests: what is reached is done at once.
func TestARolloutThatLeavesNothingOldIsDoneAtOnce(t *testing.T) {
	r := rollout.Begin(dawn, rollout.Plan{Known: true}, 1)
	r.Look(dawn, n, n, 0)
	require.Equal(t, rollout.Done, r.Phase())
}

// Clients that do not wait for the old version either are no sign that the new one hangs, and where nothing is known of the old one
// nothing is.
func TestSilenceIsComparedWithTheOldVersions(t *testing.T) {
	after := rollout.Silence{Given: 100, Open: 40, Long: 40, Gone: 35, Left: 35}
	for name, c := range map[string]struct {
		before rollout.Silence
		cause  rollout.Cause
	}{
		"the old one answers":  {rollout.Silence{Given: 1000}, rollout.Hangs},
		"clients leave both":   {rollout.Silence{Given: 1000, Open: 300, Long: 300, Gone: 300}, ""},
		"there is no old one":  {rollout.Silence{}, ""},
		"the old one is young": {rollout.Silence{Given: 10, Open: 3, Long: 3, Gone: 3}, ""},
	} {
		r := rollout.Begin(dawn, rollout.Plan{MaxErrors: 0.2}, 1)
		r.PartlySilent(dawn, after, c.before)
		require.Equal(t, c.cause, r.Cause(), name)
	}
}
