// Package wear tells when an environment of Lambda should give way to a new one: its memory will not last, or it has served as
// much, or got as old, as somebody has allowed.
package wear

import (
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Memory that is used says little: many apps fill most of theirs, and stay there. So it counts as running out when it is more
// than it ever was, and would reach the limit soon if it went on to grow as it has lately.
const (
	window = time.Minute // that growth is looked at over
	recent = 300 * time.Millisecond
	// soon is how much time is left when another environment should take its place, from shareSoon of the limit on; now how
	// much when nothing more should come, from shareNow on: what is in flight grows on.
	soon      = 10 * time.Second
	shareSoon = 0.75
	now       = time.Second / 2
	shareNow  = 0.5
	// spare is the share of the limit that is left to what nobody counts here, and least the share that it must have grown by.
	spare = 0.05
	least = 0.0025
	// What an app takes while it starts, or for its first requests, does not count.
	warmRequests = 20
	warmFor      = 10 * time.Second
)

// Limits are how much an environment may serve, and how old it may get; 0: no limit.
type Limits struct {
	Requests int64
	Age      time.Duration
}

// A Gauge watches one environment over all its instances. It belongs to one caller at a time.
type Gauge struct {
	limit  int64        // of memory, in bytes; 0: not known
	memory func() int64 // that is used; 0: not known
	began  time.Time    // by the wall clock: what is frozen gets older
	served int64        // requests of earlier instances
	looked time.Time    // first
	seen   []sample     // of the last window, oldest first
	peak   int64        // before that
	worn   wire.Notice  // empty: it is not
	detail string       // for people
}

// A sample is how much memory was used at a time.
type sample struct {
	at   time.Time
	used int64
}

// small is the memory below which an environment has less than about a seventh of a processor.
const small = 256 << 20

// Small reports whether the environment has little memory, and so a small share of a processor. A nil Gauge does not know.
func (g *Gauge) Small() bool { return g != nil && g.limit > 0 && g.limit < small }

// New returns a gauge of an environment that begins, with so many bytes of memory (0: not known).
func New(began time.Time, limit int64, memory func() int64) *Gauge {
	return &Gauge{limit: limit, memory: memory, began: began.Round(0)}
}

// Look looks at the environment, whose present instance has had so many requests. It says why the environment is worn, or
// nothing, and whether nothing more should come. What is worn stays so.
func (g *Gauge) Look(at time.Time, requests int64, limits Limits) (word wire.Notice, urgent bool) {
	if g.looked.IsZero() {
		g.looked = at
	}
	age, served := at.Round(0).Sub(g.began), g.served+requests
	if g.limit > 0 && (served >= warmRequests || at.Sub(g.looked) >= warmFor) {
		g.sample(at)
	}
	switch {
	case g.worn != "":
	case g.wearsOut():
		g.worn, g.detail = wire.NoticeWornMemory, fmt.Sprintf("%d of %d MB of memory are used, and more each moment", g.Memory()>>20, g.limit>>20)
	case limits.Requests > 0 && served >= limits.Requests:
		g.worn, g.detail = wire.NoticeWornRequests, fmt.Sprintf("it has served %d requests", served)
	case limits.Age > 0 && age >= limits.Age:
		g.worn, g.detail = wire.NoticeWornAge, fmt.Sprintf("it is %v old", age.Round(time.Second))
	}
	return g.worn, g.worn != "" && g.runsOut()
}

// Detail says for people why the environment is worn, as a Look has found; empty: it is not.
func (g *Gauge) Detail() string { return g.detail }

// Served adds the requests of an instance that has ended.
func (g *Gauge) Served(requests int64) { g.served += requests }

// Memory is how much was used at the last Look; 0: not known.
func (g *Gauge) Memory() int64 {
	if len(g.seen) == 0 {
		return 0
	}
	return g.seen[len(g.seen)-1].used
}

func (g *Gauge) sample(at time.Time) {
	n := 0
	for n < len(g.seen) && at.Sub(g.seen[n].at) > window {
		g.peak = max(g.peak, g.seen[n].used)
		n++
	}
	g.seen = g.seen[n:]
	if used := g.memory(); used > 0 {
		g.seen = append(g.seen, sample{at, used})
	}
}

func (g *Gauge) share() float64 { return float64(g.Memory()) / float64(max(g.limit, 1)) }

// wearsOut reports whether the memory will not last.
func (g *Gauge) wearsOut() bool {
	return g.share() >= shareSoon && g.lasts(window) < soon || g.runsOut()
}

// runsOut reports whether the limit is so near that what is in flight may reach it.
func (g *Gauge) runsOut() bool {
	return g.share() >= shareNow && (g.lasts(recent) < now || g.lasts(window) < now)
}

// lasts is how long the memory lasts if it goes on to grow as it has for that long, beyond what it ever was before; an hour if it
// has not grown.
func (g *Gauge) lasts(ago time.Duration) time.Duration {
	if len(g.seen) < 2 {
		return time.Hour
	}
	last, before, since := g.seen[len(g.seen)-1], g.peak, g.seen[0].at
	for k, s := range g.seen[:len(g.seen)-1] {
		if k > 0 && last.at.Sub(s.at) < ago {
			break
		}
		before, since = max(before, s.used), s.at
	}
	grown, in := float64(last.used-before), last.at.Sub(since)
	if grown < least*float64(g.limit) || in <= 0 {
		return time.Hour
	}
	left := max(0, (1-spare)*float64(g.limit)-float64(last.used))
	return time.Duration(min(float64(time.Hour), left/grown*float64(in)))
}
