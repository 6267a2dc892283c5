package scaler

import "time"

// FollowDemand starts one instance per Concurrency waiters, less what is already on the way, keeps Min, replaces what is
// still needed, and gives up what the last IdleAfter did not need.
func FollowDemand(s Settings) Rule { return &followDemand{window: NewWindow(s.IdleAfter)} }

type followDemand struct {
	window  Window
	surplus bool // time alone may make an instance surplus
}

func (f *followDemand) Decide(now time.Time, s *State) Want {
	f.window.Observe(now, s.demand())
	f.surplus = s.Ready > max(s.Min, s.Adopted)
	keep := min(max(s.Min, ceilDiv(f.window.Peak(now), s.Concurrency)), s.Max)
	uncovered := s.Waiting - s.Free - s.Starting*s.Concurrency
	w := Want{Start: max(0, ceilDiv(uncovered, s.Concurrency), min(s.Min, s.Max)-s.Ready-s.Starting)}
	w.Replace = s.replace(keep, w.Start)
	if s.Waiting == 0 {
		w.Drain = max(0, s.Ready-keep)
	}
	return w
}

func (f *followDemand) Next() time.Time {
	if !f.surplus {
		return time.Time{}
	}
	return f.window.Boundary()
}

// replace is how many rotating instances must be replaced so that keep instances last.
func (s *State) replace(keep, start int) int {
	lasting := s.Ready - s.Rotating + s.Starting + start
	return min(max(0, keep-lasting), s.Unreplaced)
}
