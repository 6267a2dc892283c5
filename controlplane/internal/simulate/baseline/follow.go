package baseline

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// FollowDemand is the first rule that the control plane had. It starts one instance for each Concurrency waiters, less those on the way.
// It keeps Min, replaces instances that are still needed, and drains those that the last ten seconds did not need.
func FollowDemand(scaler.Settings) scaler.Rule {
	return &followDemand{window: scaler.NewWindow(idleAfter)}
}

const idleAfter = 10 * time.Second

type followDemand struct {
	window  scaler.Window
	surplus bool // time alone may make an instance surplus
}

func (f *followDemand) Decide(now time.Time, s *scaler.State) scaler.Want {
	f.window.Observe(now, s.Leased+s.Waiting)
	f.surplus = s.Ready > max(s.Min, s.Adopted)
	keep := ceil(float64(f.window.Peak(now)) / float64(s.Concurrency))
	w := toward(s, min(max(s.Min, keep), s.Max))
	uncovered := s.Waiting - s.Free - s.Starting*s.Concurrency
	w.Start = max(0, ceil(float64(uncovered)/float64(s.Concurrency)), min(s.Min, s.Max)-s.Ready-s.Starting)
	return w
}

func (f *followDemand) Next() time.Time {
	if !f.surplus {
		return time.Time{}
	}
	return f.window.Boundary()
}
