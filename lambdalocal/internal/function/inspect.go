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
	Ready    State = "ready" // on Managed Instances, with invocations or without
	Stopping State = "stopping"
)

// A Snapshot describes an environment.
type Snapshot struct {
	ID       string `json:"id"`
	Function string `json:"function"`
	Version  string `json:"version"`
	State    State  `json:"state"`
	PIDs     []int  `json:"pids"`   // leaders of process groups: the extensions first, the command last
	Port     int    `json:"port"`   // of its own, which PORT names where the configuration does not
	Served   int    `json:"served"` // invocations that ended
	// RequestID is the invocation's that is under way, or of the last one; empty before the first.
	RequestID string `json:"request_id"`
}

// Counters count invocations since the start.
type Counters struct {
	Started   int `json:"started"` // Cold + Warm
	Ended     int `json:"ended"`
	Cold      int `json:"cold"`
	Warm      int `json:"warm"`
	Throttled int `json:"throttled"` // refused by a limit; not started
	Faults    int `json:"faults"`    // refused by a fault; not started
	Errors    int `json:"errors"`    // ended other than succeeded
	BilledMs  int `json:"billed_ms"`
	// Outcomes splits Ended.
	Outcomes map[environment.Outcome]int `json:"outcomes"`
	Events   EventCounters               `json:"events"`
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
	c.Outcomes, c.Events.Dropped = maps.Clone(c.Outcomes), maps.Clone(c.Events.Dropped)
	return c
}

// Environments describes all that exist, ordered by id.
func (f *Function) Environments() []Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Snapshot, 0, len(f.all))
	for _, l := range f.all {
		list = append(list, Snapshot{
			ID: l.env.ID(), Function: f.cfg.Function, Version: l.version.cfg.Version, State: l.state, PIDs: l.env.PIDs(), Port: l.env.Port(),
			Served: l.env.Served(), RequestID: l.request,
		})
	}
	slices.SortFunc(list, func(a, b Snapshot) int { return strings.Compare(a.ID, b.ID) })
	return list
}
