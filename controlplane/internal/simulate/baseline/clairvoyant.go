package baseline

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// How far a clairvoyant looks ahead: as long as starts take, seldom longer.
const (
	warmLead = 60 * time.Millisecond
	coldLead = 2500 * time.Millisecond
	idle     = 100 * time.Millisecond // an idle instance costs as much in that time as a warm start
)

// Clairvoyant returns a rule that knows how many requests will be in flight. With blindBefore it starts nothing before the first request.
func Clairvoyant(w workload.Workload, blindBefore bool) scaler.Policy {
	levels := w.Levels()
	return func(scaler.Settings) scaler.Rule {
		c := &seer{warm: ahead{levels: levels}, cold: ahead{levels: levels}, keep: ahead{levels: levels}}
		if blindBefore && len(w.Requests) > 0 {
			c.blind = w.Requests[0].At
		}
		return c
	}
}

type seer struct {
	warm, cold, keep ahead
	blind            time.Duration
	next             time.Time
}

func (c *seer) Decide(now time.Time, s *scaler.State) scaler.Want {
	at := now.Sub(simulate.Epoch())
	c.next = time.Time{}
	if at < c.blind {
		return scaler.Want{}
	}
	slots := s.Concurrency
	soon := (max(c.warm.peak(at, warmLead), s.Leased+s.Waiting) + slots - 1) / slots
	later := (c.cold.peak(at, coldLead) + slots - 1) / slots
	keep := (max(c.keep.peak(at, warmLead+idle), s.Leased+s.Waiting) + slots - 1) / slots
	have := s.Ready + s.Starting
	w := scaler.Want{Start: max(0, soon-have, later-have-s.Fleet.Frozen(now))}
	w.Replace = min(s.Unreplaced, max(0, keep-(have-s.Rotating)-w.Start))
	if s.Waiting == 0 && later <= have+s.Fleet.Frozen(now) {
		w.Drain = min(s.Idle, max(0, s.Ready-keep))
	}
	if change, ok := c.cold.next(); ok {
		c.next = simulate.Epoch().Add(max(change-coldLead, at+5*time.Millisecond))
	} else if s.Idle > 0 {
		c.next = now.Add(5 * time.Millisecond)
	}
	return w
}

func (c *seer) Next() time.Time { return c.next }

// ahead finds the highest level in a window that moves forward.
type ahead struct {
	levels []workload.Level
	end    int   // levels before it have entered the window
	queue  []int // of levels that may be the maximum, falling
}

func (a *ahead) peak(at, lead time.Duration) int {
	for ; a.end < len(a.levels) && a.levels[a.end].From <= at+lead; a.end++ {
		for n := len(a.queue); n > 0 && a.levels[a.queue[n-1]].InFlight <= a.levels[a.end].InFlight; n-- {
			a.queue = a.queue[:n-1]
		}
		a.queue = append(a.queue, a.end)
	}
	for len(a.queue) > 1 && a.over(a.queue[0], at) {
		a.queue = a.queue[1:]
	}
	if len(a.queue) == 0 {
		return 0
	}
	return a.levels[a.queue[0]].InFlight
}

// over tells whether a level ended before the window, because the next one began.
func (a *ahead) over(k int, at time.Duration) bool {
	return k+1 < len(a.levels) && a.levels[k+1].From <= at
}

// next returns when the next level begins that has not entered the window.
func (a *ahead) next() (time.Duration, bool) {
	if a.end >= len(a.levels) {
		return 0, false
	}
	return a.levels[a.end].From, true
}
