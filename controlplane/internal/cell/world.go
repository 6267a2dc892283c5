// Package cell simulates a whole cell from one seed: control planes that elect a leader, a relay that outlives them and a caretaker
// beside it, Envoy, Lambda with its environments, the instances and the requests on them, the lease's store, and the network between them
// all, which delays, cuts and falls silent. The machines that decide are those that run in production: lease.Candidate, tables.Keeper,
// tables.Mirror and pool.Pool. One goroutine drives them, in virtual time, so that a seed that fails fails again.
//
// A state directory outlives its process as a rule. Where it is lost with the relay, as with a host, a ceiling counts without what ran
// until that has come back or ended.
package cell

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// start is when every history begins.
var start = time.Unix(1_900_000_000, 0)

// A world is one history.
type world struct {
	rng    *rand.Rand
	now    time.Time
	events events
	order  uint64
	err    error // the first promise that was broken

	store            *store
	relay            *relay
	planes           []*plane
	instances        map[string]*instance // invoked, by id
	running          []*instance          // those that have not ended, in the order of their starts
	environments     []*environment
	made             int                   // environments
	expected         map[string]uint64     // by the relay, in that term
	told             map[string]leadership // to which leader, last: that it has ended
	calm             bool                  // no fault happens any more
	severed          bool                  // a plane is apart to the end
	rate             time.Duration         // between two requests
	open             []*request            // in the order of their arrival, those served among them
	busy             time.Time             // when no slot was free last that Envoy could reach, or something went wrong
	starts, needless int
	log              []string
}

// A leadership is a term of a process. Terms alone may come again, where the store has lost its record.
type leadership struct {
	process string
	term    uint64
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0)), now: start, instances: map[string]*instance{}, expected: map[string]uint64{}, told: map[string]leadership{}, rate: 100 * time.Millisecond}
	w.store = &store{world: w, file: w.chance(50), renewed: map[string]time.Time{}}
	newRelay(w)
	for n := range planes {
		w.planes = append(w.planes, newPlane(w, n))
	}
	return w
}

// after lets something happen later.
func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

func (w *world) at(moment time.Time, do func()) {
	w.order++
	w.events.push(event{moment.Sub(start), w.order, do})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for w.err == nil && len(w.events) > 0 && w.events[0].at <= end.Sub(start) {
		next := w.events.pop()
		w.now = start.Add(next.at)
		next.do()
	}
	w.now = end
}

// between is a random span of time.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// chance is true in so many of a hundred cases.
func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func (w *world) broken(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("after %s: %w", w.now.Sub(start), fmt.Errorf(format, args...))
	}
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%8.3f ", w.now.Sub(start).Seconds())+fmt.Sprintf(format, args...))
}

// A process dies, and stands still. What was to happen to it then happens later, or not at all.
type process struct {
	*world
	life   int // number of its incarnation; nothing of an earlier one happens any more
	dead   bool
	paused time.Time // until then
	since  time.Time // when that began
	first  func()    // is done before anything else; nil: nothing
}

// later lets something happen to the process, if it still lives then.
func (p *process) later(d time.Duration, do func()) { p.when(p.now.Add(d), p.life, do) }

func (p *process) when(moment time.Time, life int, do func()) {
	p.at(moment, func() {
		switch {
		case p.dead || p.life != life:
		case p.now.Before(p.paused):
			p.when(p.paused, life, do)
		default:
			if p.first != nil {
				p.first()
			}
			do()
		}
	})
}

// every repeats something for as long as the process lives.
func (p *process) every(d time.Duration, do func()) {
	p.later(d, func() {
		do()
		p.every(d, do)
	})
}

// pause lets the process stand still: what comes meanwhile comes when it goes on, in order.
func (p *process) pause(d time.Duration) {
	if !p.now.Before(p.paused) {
		p.since = p.now
	}
	p.paused = later(p.paused, p.now.Add(d))
}
