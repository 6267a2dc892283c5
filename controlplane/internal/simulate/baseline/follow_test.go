package baseline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
)

func follow() scaler.Rule { return baseline.FollowDemand(scaler.Settings{}) }

func TestFollowDemand(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state scaler.State
		want  scaler.Want
	}{
		{"nothing to do", scaler.State{}, scaler.Want{}},
		{"first request", scaler.State{Waiting: 1}, scaler.Want{Start: 1}},
		{"one per concurrency", scaler.State{Waiting: 200}, scaler.Want{Start: 20}},
		{"rounded up", scaler.State{Waiting: 11}, scaler.Want{Start: 2}},
		{"on the way", scaler.State{Waiting: 11, Starting: 1}, scaler.Want{Start: 1}},
		{"all on the way", scaler.State{Waiting: 11, Starting: 5}, scaler.Want{}},
		{"min", scaler.State{Min: 3, Ready: 1, Starting: 1}, scaler.Want{Start: 1}},
		{"min above max", scaler.State{Min: 300}, scaler.Want{Start: 100}},
		{"surplus", scaler.State{Ready: 7, Free: 70, Leased: 31}, scaler.Want{Drain: 3}},
		{"surplus, but min", scaler.State{Min: 6, Ready: 7, Free: 70}, scaler.Want{Drain: 1}},
		{"no drain beside a waiter", scaler.State{Ready: 7, Waiting: 1}, scaler.Want{Start: 1}},
		{"rotation", scaler.State{Ready: 3, Rotating: 1, Unreplaced: 1, Leased: 30}, scaler.Want{Replace: 1}},
		{"rotation on its way", scaler.State{Ready: 3, Rotating: 1, Starting: 1, Leased: 30}, scaler.Want{}},
		{"rotation of what is surplus", scaler.State{Ready: 3, Rotating: 1, Unreplaced: 1, Leased: 20}, scaler.Want{Drain: 1}},
		{"rotation at min", scaler.State{Min: 1, Ready: 1, Rotating: 1, Unreplaced: 1}, scaler.Want{Replace: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.state.Concurrency = 10
			tt.state.Max = 100
			require.Equal(t, tt.want, follow().Decide(time.Unix(1_000_000, 0), &tt.state))
		})
	}
}

// What it wants is what it needs: once carried out, it wants nothing more.
func TestFollowDemandSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int { return rapid.IntRange(0, 50).Draw(t, name) }
		s := scaler.State{
			Min: n("min"), Max: n("max"), Concurrency: 1 + n("concurrency"), Waiting: n("waiting"), Ready: n("ready"),
			Starting: n("starting"),
		}
		s.Rotating = min(s.Ready, n("rotating"))
		s.Unreplaced = min(s.Rotating, n("unreplaced"))
		s.Leased = n("in flight")
		rule, now := follow(), time.Unix(1_000_000, 0)
		w := rule.Decide(now, &s)
		require.GreaterOrEqual(t, min(w.Start, w.Replace, w.Drain), 0)
		require.LessOrEqual(t, w.Replace, s.Unreplaced)
		require.LessOrEqual(t, w.Drain, s.Ready)
		s.Starting += w.Start + w.Replace
		s.Unreplaced -= w.Replace
		again := rule.Decide(now, &s)
		require.Zero(t, again.Start)
		require.Zero(t, again.Replace)
	})
}
