package bill

import (
	"math"
	"time"
)

// A Note is the sums of an account, for one that takes over. What runs is not in it: whoever takes over learns of that where it
// runs.
type Note struct {
	MemoryMB    int     `json:"memory_mb,omitempty"`
	Invocations uint64  `json:"invocations,omitempty"`
	Estimated   uint64  `json:"estimated,omitempty"`
	Billed      Seconds `json:"billed,omitempty"`
	GBSeconds   float64 `json:"gb_seconds,omitempty"`
	Inits       uint64  `json:"inits,omitempty"`
	Init        Seconds `json:"init,omitempty"`
	Requests    uint64  `json:"requests,omitempty"` // plain Lambda's, as the next two
	Duration    Seconds `json:"duration,omitempty"`
	ColdStarts  uint64  `json:"cold_starts,omitempty"`
}

// Note writes down the sums.
func (a *Account) Note() Note {
	return Note{
		MemoryMB: a.memory, Invocations: a.invocations, Estimated: a.estimated, Billed: a.billed.sum(), GBSeconds: a.gbSeconds,
		Inits: a.inits, Init: a.init.sum(),
		Requests: a.plain.requests, Duration: a.plain.duration.sum(), ColdStarts: a.plain.cold,
	}
}

// makesSense tells whether the numbers can be those of an account. A relay may say anything.
func (n Note) makesSense() bool {
	for _, one := range []float64{float64(n.MemoryMB), float64(n.Billed), n.GBSeconds, float64(n.Init), float64(n.Duration)} {
		if !(one >= 0 && one < most) {
			return false
		}
	}
	return float64(max(n.Invocations, n.Estimated, n.Inits, n.Requests, n.ColdStarts)) < most
}

// most is more than any sum of an account, and can still be added to.
const most = 1e15

// Learn takes over the sums of another account, once, before anything has ended. Numbers that make no sense are passed over.
func (a *Account) Learn(n Note) {
	if !n.makesSense() {
		return
	}
	if a.memory == 0 {
		a.memory = n.MemoryMB
	}
	a.invocations, a.estimated, a.gbSeconds, a.inits = n.Invocations, n.Estimated, n.GBSeconds, n.Inits
	a.billed, a.init = totalOf(n.Billed), totalOf(n.Init)
	a.plain.requests, a.plain.cold, a.plain.duration = n.Requests, n.ColdStarts, totalOf(n.Duration)
	a.before = a.Note() // as this account rounds it
}

// Inherited says that an invocation runs that somebody else has made then.
func (a *Account) Inherited(now, started time.Time) {
	age := max(0, now.Sub(started))
	a.running.begin(now)
	a.running.total.add(age, 1)
	a.inherited.n++
	a.inherited.age.add(age, 1)
}

func totalOf(s Seconds) total {
	whole := int64(s)
	return total{seconds: whole, nanos: int64(math.Round((s - Seconds(whole)) * float64(time.Second)))}
}
