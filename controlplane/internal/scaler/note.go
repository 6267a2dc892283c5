package scaler

import (
	"math"
	"slices"
	"time"
)

// MaxFrozen bounds the environments in a FleetNote. It has the ones that froze last.
const MaxFrozen = 512

// A FleetNote is what a fleet has learned, for the next leader's. Times are ages, because clocks of hosts differ.
type FleetNote struct {
	Warm   EstimateNote `json:"warm,omitzero"`
	Cold   EstimateNote `json:"cold,omitzero"`
	Finish EstimateNote `json:"finish,omitzero"`
	Frozen []FrozenNote `json:"frozen,omitempty"` // environments that are relied on, oldest first

	Relied time.Duration `json:"relied,omitempty"` // how long a frozen environment is relied on
}

// A FrozenNote is a frozen environment.
type FrozenNote struct {
	Name string        `json:"name"`
	Age  time.Duration `json:"age"`
}

// An EstimateNote is an Estimate.
type EstimateNote struct {
	Mean float64 `json:"mean"` // nanoseconds
	N    int     `json:"n"`
}

func (e Estimate) note() EstimateNote { return EstimateNote{e.mean, e.n} }

// learn takes over an estimate, unless it makes no sense.
func (e *Estimate) learn(n EstimateNote, most time.Duration) {
	if n.N > 0 && n.Mean >= 0 && n.Mean <= float64(most) {
		e.mean, e.n = n.Mean, min(n.N, memory)
	}
}

// Note returns what the fleet has learned.
func (f *Fleet) Note(now time.Time) FleetNote {
	f.forget(now)
	n := FleetNote{Warm: f.Warm.note(), Cold: f.Cold.note(), Finish: f.finish.note(), Relied: f.relied}
	for _, s := range f.sure {
		if s.lasts() && s.sure {
			n.Frozen = append(n.Frozen, FrozenNote{s.name, now.Sub(s.at)})
		}
	}
	n.Frozen = n.Frozen[max(0, len(n.Frozen)-MaxFrozen):]
	return n
}

// Learn takes over a note that is ago old.
func (f *Fleet) Learn(now time.Time, n FleetNote, ago time.Duration) {
	f.Warm.learn(n.Warm, longestWarm)
	f.Cold.learn(n.Cold, longestCold)
	f.finish.learn(n.Finish, longestFinish)
	if n.Relied >= leastRelied && n.Relied <= longestRelied {
		f.relied = n.Relied
	}
	slices.SortStableFunc(n.Frozen, func(a, b FrozenNote) int { return int(b.Age - a.Age) })
	for _, e := range n.Frozen {
		if age := e.Age + ago; e.Age >= 0 && age < f.relied && e.Name != "" && f.known[e.Name] == nil {
			f.known[e.Name] = &environment{name: e.Name}
			f.Ended(now.Add(-age), e.Name, false)
		}
	}
}

// A TailNote is what a Tail has learned, as ages.
type TailNote struct {
	Seen map[int]time.Duration `json:"seen,omitempty"` // since a request last took that long, by bucket
	Cut  *time.Duration        `json:"cut,omitempty"`  // since a request was last cut off
}

// Note returns what the tail has learned.
func (t *Tail) Note(now time.Time) TailNote {
	n := TailNote{Seen: map[int]time.Duration{}}
	for k, at := range t.last {
		if age := now.Sub(at); age < tailMemory {
			n.Seen[k] = age
		}
	}
	if age := now.Sub(t.cut); age < tailMemory {
		n.Cut = &age
	}
	return n
}

// Learn takes over a note that is ago old.
func (t *Tail) Learn(now time.Time, n TailNote, ago time.Duration) {
	for k, age := range n.Seen {
		if k >= 0 && k < tailBuckets && age >= 0 {
			t.last[k] = now.Add(-age - ago)
		}
	}
	if n.Cut != nil && *n.Cut >= 0 {
		t.cut = now.Add(-*n.Cut - ago)
	}
}

// A GuardsNote is the state of guards that a takeover must not reset.
type GuardsNote struct {
	Tokens int           `json:"tokens"` // left of the start rate
	Cause  Cause         `json:"cause,omitempty"`
	Steps  int           `json:"steps,omitempty"`
	Until  time.Duration `json:"until,omitempty"` // from now; negative: it has passed
	Flaps  bool          `json:"flaps,omitempty"`

	Held   []ClaimNote `json:"held,omitempty"`   // money held for instances that have ended
	Places []ClaimNote `json:"places,omitempty"` // places held for them
}

// A ClaimNote is a held claim, which ends by itself.
type ClaimNote struct {
	Hour int64         `json:"hour"` // in the units of the Budget
	Left time.Duration `json:"left"`
}

// Bounds of claims in a note. If there are more, the first ones are added up, and held for as long as the last of these.
const (
	maxClaims   = 128
	maxHour     = int64(1e16)
	longestHeld = time.Hour
)

// note returns the held claims.
func (b *Budget) note(now time.Time) (held []ClaimNote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle(now)
	for _, f := range b.fading {
		held = append(held, ClaimNote{f.hour, f.until.Sub(now)})
	}
	for extra := max(0, len(held)-maxClaims); extra > 0; extra-- {
		held[1].Hour += held[0].Hour
		held = held[1:]
	}
	return held
}

// learn takes over held claims that were noted that long ago.
func (b *Budget) learn(now time.Time, held []ClaimNote, ago time.Duration) {
	if b == nil {
		return
	}
	for _, c := range held[:min(len(held), maxClaims)] {
		left := min(c.Left, longestHeld) - ago
		if p := (Price{hour: c.Hour}); c.Hour > 0 && c.Hour <= maxHour && left > 0 {
			b.inherit(now, p)
			b.Release(now, p, left)
		}
	}
}

// Note returns the guards' state.
func (g *Guards) Note(now time.Time) GuardsNote {
	b := &g.Breaker
	n := GuardsNote{Tokens: g.bucket.Tokens(now)}
	if b.steps > 0 {
		n.Cause, n.Steps, n.Until, n.Flaps = b.cause, b.steps, b.until.Sub(now), b.flaps
	}
	n.Held, n.Places = g.own.note(now), g.places.note(now)
	return n
}

// Learn takes over a note that is ago old.
func (g *Guards) Learn(now time.Time, n GuardsNote, ago time.Duration) {
	for _, b := range []*Budget{g.own, g.settings.Total} {
		b.learn(now, n.Held, ago)
	}
	for _, b := range []*Budget{g.places, g.settings.Account} {
		b.learn(now, n.Places, ago)
	}
	if there := g.bucket.Tokens(now); n.Tokens >= 0 && n.Tokens < there {
		g.bucket.Take(now.Add(-ago), there-n.Tokens)
	}
	if n.Steps <= 0 || !slices.Contains(StartCauses[:], n.Cause) {
		return
	}
	b := &g.Breaker
	b.cause, b.rule, b.steps, b.flaps = n.Cause, ruleOf(n.Cause), n.Steps, n.Flaps
	b.until = now.Add(min(n.Until-ago, b.rule.longest))
	b.epoch++
}

// A LimiterNote is what a Limiter has learned.
type LimiterNote struct {
	Limit   int            `json:"limit"`
	Alone   float64        `json:"alone"`         // logarithm of nanoseconds
	Age     *time.Duration `json:"age,omitempty"` // of Alone; nil: long ago
	Settled bool           `json:"settled,omitempty"`
	TooHigh int            `json:"too_high,omitempty"`
	Resting int            `json:"resting,omitempty"`
}

// Note returns what the limiter has learned; nil for a nil limiter.
func (l *Limiter) Note(now time.Time) *LimiterNote {
	if l == nil {
		return nil
	}
	n := &LimiterNote{Limit: l.limit, Alone: l.alone, Settled: l.settled, TooHigh: l.tooHigh, Resting: l.resting}
	if age := now.Sub(l.aloneAt); age < aloneFor {
		n.Age = &age
	}
	return n
}

// Learn takes over a note that is ago old. Limiter and note may be nil.
func (l *Limiter) Learn(now time.Time, n *LimiterNote, ago time.Duration) {
	if l == nil || n == nil || n.Limit < 1 || !(n.Alone >= 0 && n.Alone < math.MaxInt8) {
		return
	}
	l.limit, l.alone, l.settled = min(n.Limit, l.most), n.Alone, n.Settled
	l.tooHigh, l.resting = max(0, n.TooHigh), min(max(0, n.Resting), mostRest)
	l.rest = l.resting
	if n.Age != nil && *n.Age >= 0 {
		l.aloneAt = now.Add(-*n.Age - ago)
	}
}
