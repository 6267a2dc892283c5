// Package baseline holds the policies with which the control plane's own is compared. The server does not use them.
package baseline

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// A Contender is a policy with the settings that go with it.
type Contender struct {
	Name  string
	About string // one line, for people who choose
	Apply func(*simulate.Settings, workload.Workload)
	Run   func(workload.Workload, simulate.Settings) (simulate.Result, error) // nil: simulate.Run
}

// Replay runs the contender with those settings, after Apply.
func (c Contender) Replay(w workload.Workload, s simulate.Settings) (simulate.Result, error) {
	if c.Run != nil {
		return c.Run(w, s)
	}
	return simulate.Run(w, s)
}

// Ours is the name of the server's own policy among the contenders.
const Ours = "ours"

// Plain is the name of Lambda without us.
const Plain = "plain"

// Contenders lists all policies, ours first.
func Contenders() []Contender {
	return []Contender{
		{Name: Ours, About: "the control plane's own, with default settings", Apply: func(*simulate.Settings, workload.Workload) {}},
		{Name: Plain, About: "plain Lambda: one request per environment, no tunnel", Apply: plain, Run: replayPlain},
		{"kpa", "Knative's autoscaler with its published defaults: 70 % of the slots in use over a minute, over 6 s in a rush", spread(KPA), nil},
		{"per-waiter", "one start for each request that waits; keeps what the last 10 s needed", spread(PerWaiter), nil},
		{"utilization", "60 % of the slots in use over a minute, as Cloud Run describes it", spread(Utilization), nil},
		{"upstream", "the formula of the upstream lambda-dispatch: requests in flight / (concurrency / 2)", spread(Upstream), nil},
		{"first-rule", "the control plane's first: one start per waiting instance-full; keeps what the last 10 s needed", spread(FollowDemand), nil},
	}
}

// spread sets the pool to spread requests over instances, as the systems of these policies do.
func spread(p scaler.Policy) func(*simulate.Settings, workload.Workload) {
	return func(s *simulate.Settings, _ workload.Workload) {
		s.Pool.Spread = true
		s.Pool.Scaling.Policy = p
	}
}

// plain serves one request per instance.
func plain(s *simulate.Settings, _ workload.Workload) { s.Pool.Concurrency = 1 }

func replayPlain(w workload.Workload, s simulate.Settings) (simulate.Result, error) {
	return simulate.Plain(w, s), nil
}

// A reaction is a rule that decides by the present state alone.
type reaction func(*scaler.State) scaler.Want

func (r reaction) Decide(_ time.Time, s *scaler.State) scaler.Want { return r(s) }
func (r reaction) Next() time.Time                                 { return time.Time{} }

// Upstream wants in-flight / (concurrency / 2) instances at every moment.
func Upstream(scaler.Settings) scaler.Rule {
	return reaction(func(s *scaler.State) scaler.Want {
		desired := ceil(float64(s.Leased+s.Waiting) / (float64(s.Concurrency) / 2))
		return toward(s, desired)
	})
}

// toward returns the starts or drains that bring the instances to a number. While requests wait it drains none.
func toward(s *scaler.State, desired int) scaler.Want {
	w := scaler.Want{Start: max(0, desired-s.Ready-s.Starting)}
	w.Replace = min(s.Unreplaced, max(0, desired-(s.Ready-s.Rotating)-s.Starting-w.Start))
	if s.Waiting == 0 {
		w.Drain = max(0, s.Ready-desired)
	}
	return w
}

func ceil(v float64) int {
	n := int(v)
	if float64(n) < v-1e-9 {
		n++
	}
	return n
}

// perWaiter keeps idle instances like our first rule.
type perWaiter struct{ scaler.Rule }

// PerWaiter starts one instance for each waiter that has none on the way, and keeps what the last 10 s needed.
func PerWaiter(s scaler.Settings) scaler.Rule { return perWaiter{FollowDemand(s)} }

func (p perWaiter) Decide(now time.Time, s *scaler.State) scaler.Want {
	w := p.Rule.Decide(now, s)
	w.Start = max(w.Start, s.Waiting-s.Starting)
	return w
}
