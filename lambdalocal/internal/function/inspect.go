package function

import (
	"maps"
	"slices"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

// A State of an environment.
type State string

// The states.
const (
	Init     State = "init"
	Busy     State = "busy"
	Frozen   State = "frozen"
	Stopping State = "stopping"
)

// A Snapshot describes an environment.
type Snapshot struct {
	ID       string `json:"id"`
	Function string `json:"function"`
	State    State  `json:"state"`
	PIDs     []int  `json:"pids"`   // leaders of process groups: the extensions first, the command last
	Served   int    `json:"served"` // invocations that ended
}

// Counters count invocations since the start.
type Counters struct {
	Started   int `json:"started"` // Cold + Warm
	Ended     int `json:"ended"`
	Cold      int `json:"cold"`
	Warm      int `json:"warm"`
	Throttled int `json:"throttled"` // refused by the concurrency limit; not started
	Faults    int `json:"faults"`    // refused by a fault; not started
	Errors    int `json:"errors"`    // ended other than succeeded
	BilledMs  int `json:"billed_ms"`
	// Outcomes splits Ended.
	Outcomes map[environment.Outcome]int `json:"outcomes"`
}

func (c *Counters) end(r environment.Result) {
	c.Ended++
	c.Outcomes[r.Outcome]++
	c.BilledMs += int(r.Billed.Milliseconds())
	if r.Outcome != environment.Succeeded {
		c.Errors++
	}
}

// Counters returns a copy.
func (f *Function) Counters() Counters {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counters
	c.Outcomes = maps.Clone(c.Outcomes)
	return c
}

// Environments describes all that exist, ordered by id.
func (f *Function) Environments() []Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Snapshot, 0, len(f.all))
	for _, l := range f.all {
		list = append(list, Snapshot{
			ID: l.env.ID(), Function: f.cfg.Function, State: l.state, PIDs: l.env.PIDs(), Served: l.env.Served(),
		})
	}
	slices.SortFunc(list, func(a, b Snapshot) int { return strings.Compare(a.ID, b.ID) })
	return list
}
