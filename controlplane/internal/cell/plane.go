package cell

import (
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

const planes = 2

// A plane is a control plane: a candidate, and while it leads a mirror of the relay and a pool.
type plane struct {
	desk
	number    int
	awake     time.Time // when something happened to it last
	still     bool      // it has stood still, and the relay has not told yet what there is
	candidate *lease.Candidate
	stepping  bool
	cutOff    time.Time // from the store, until then
	apart     time.Time // from Envoy and the relay, until then
	cutSince  time.Time // when that began
	leaves    bool
	healthy   bool // for Envoy

	term    uint64 // that it leads; 0: none
	mirror  *tables.Mirror
	stream  *stream
	decides bool // the relay has told all that it had
	known   map[string]*known
	notes   uint64
	learned bool
}

// A known instance has not ended, as far as the leader knows.
type known struct {
	core     *pool.Instance
	expected bool
	up       bool
	orphaned bool // nobody hears how its invocation ends
	ended    bool // in the pool
}

func newPlane(w *world, number int) *plane {
	p := &plane{number: number}
	p.desk = desk{process: &process{world: w}, carry: p.carry, may: p.mayLease}
	p.first = p.wake // whatever happens to a control plane, it first looks how late it is, and whether it leads
	p.begin()
	return p
}

// mayLease tells whether the plane leads, in its own eyes and in ours: it has renewed its lease, or the relay has obeyed it within half of
// one, since when no higher term can have been seen there.
func (p *plane) mayLease() bool {
	renewed, obeyed := p.now.Sub(p.store.renewed[p.name()]), p.now.Sub(p.relay.obeyed[p.term])
	return p.candidate.Standing(p.now).Leads && (renewed < lease.Duration || obeyed <= lease.Duration/2)
}

func (p *plane) begin() {
	p.dead, p.leaves, p.stepping, p.stream, p.mirror, p.term, p.awake = false, false, false, nil, nil, 0, p.now
	p.candidate = lease.NewCandidate(p.name(), "")
	p.candidate.Remote()
	p.every(100*time.Millisecond, p.step)
	p.every(pingEvery, p.tick)
	p.every(time.Second, p.writeNote)
	p.relay.after(0, func() { p.relay.dial(p) })
}

// name is one that no other process has, not even the next of this plane.
func (p *plane) name() string { return fmt.Sprintf("plane%d.%d", p.number, p.life) }

// kill ends the process; another one begins after a while.
func (p *plane) kill(away time.Duration) {
	p.world.note("plane %d is killed", p.number)
	p.dead = true
	p.giveBack()
	if s := p.relay.streams[p]; s != nil {
		s.planeEnd.over = true
		s.toRelay(s.endRelay)
	}
	p.after(away, func() {
		p.life++
		p.world.note("plane %d begins anew", p.number)
		p.begin()
	})
}

// handOver ends the process in order.
func (p *plane) handOver(away time.Duration) {
	p.world.note("plane %d hands over", p.number)
	p.leaves = true
	p.resign()
	p.candidate.Leave(p.now)
	p.later(maxStep, func() { p.kill(away) })
}

// step lets the candidate do something, and the plane follow where it stands.
func (p *plane) step() {
	p.follow()
	if p.stepping {
		return
	}
	step := p.candidate.Step(p.now)
	if step.Kind == lease.StepWait {
		return
	}
	p.stepping = true
	p.store.do(p, step, func(found lease.Found, err error) {
		p.stepping = false
		if step.Kind == lease.StepRead {
			p.candidate.Read(p.now, found, err)
		} else {
			p.candidate.Swapped(p.now, err)
		}
		p.step()
	})
}

// stillFor is how late a control plane must be to have stood still, as package dispatch has it.
const stillFor = 900 * time.Millisecond

func (p *plane) wake() {
	late := p.now.Sub(p.awake)
	p.awake = p.now
	if late >= stillFor && p.term != 0 {
		p.takeOverAnew()
	}
	p.follow()
}

// takeOverAnew follows a moment in which the plane stood still: what it knows is old.
func (p *plane) takeOverAnew() {
	p.still = true
	p.do(p.pool.StoodStill(p.now))
	if p.stream != nil {
		p.stream.endPlane()
	}
}

func (p *plane) follow() {
	if p.term != 0 {
		p.sayRelays()
	}
	standing := p.candidate.Standing(p.now)
	switch {
	case p.term != 0 && (!standing.Leads || standing.Term != p.term):
		p.resign()
	case p.term == 0 && standing.Leads && !p.leaves:
		p.lead(standing.Term)
	}
}

// Of the function: five instances are what its ceiling in dollars allows.
const (
	most     = 5
	lifetime = 20 * time.Second
)

func settings(seed uint64) pool.Settings {
	return pool.Settings{
		Concurrency: slots, QueueLimit: 1000, QueueTimeout: 30 * time.Second, StartTimeout: 10 * time.Second,
		DrainTimeout: 5 * time.Second, Lifetime: lifetime, Margin: pool.Margin{Request: time.Second, Bounded: true},
		Seed: seed,
		Scaling: scaler.Settings{
			Max: 2 * most, StartsInProgress: 2 * most, StartsPerSecond: 50, StartsBurst: 100, Preference: scaler.Balanced,
			DollarsPerHour: most, Price: scaler.NewPrice(1, 0),
		},
	}
}

func (p *plane) lead(term uint64) {
	p.world.note("plane %d leads term %d", p.number, term)
	p.term, p.decides, p.still, p.learned = term, false, false, false
	p.mirror, p.known = tables.NewMirror(term, p.name()), map[string]*known{}
	p.open(pool.New(settings(p.rng.Uint64())))
	p.pool.Hold()
}

func (p *plane) resign() {
	if p.term == 0 {
		return
	}
	p.world.note("plane %d resigns term %d", p.number, p.term)
	p.giveBack()
	p.candidate.End()
	if p.stream != nil {
		p.stream.endPlane()
	}
}

// giveBack ends the term: Envoy gets what waits.
func (p *plane) giveBack() {
	p.term = 0
	p.close()
}

func (p *plane) sayRelays() {
	if p.mirror.Attached() {
		p.candidate.Relays(p.now, []string{"pair"}, p.mirror.Confirmed())
	} else {
		p.candidate.Relays(p.now, nil, p.mirror.Confirmed())
	}
}

// attach takes a relay's stream, or refuses it.
func (p *plane) attach(s *stream, greeting tables.Observed) {
	p.follow()
	if p.term == 0 {
		s.endPlane()
		return
	}
	if p.stream != nil {
		p.stream.endPlane()
	}
	p.stream, s.mirror = s, p.mirror
	p.hear(p.mirror.Attach(greeting))
	s.pumpPlane()
}

func (p *plane) ended(s *stream) {
	if p.stream == s {
		p.stream = nil
		lost := p.mirror.Detach(s.planeEnd.unheard <= maxSilent)
		p.relayed(false)
		p.hear(lost)
	}
}

// relayed tells the pool whether a relay is attached that has told what it has.
func (p *plane) relayed(one bool) {
	if p.term != 0 {
		p.do(p.pool.Relay(p.now, one))
	}
}

func (p *plane) receive(s *stream, o tables.Observed) {
	if s != p.stream || p.term == 0 {
		return
	}
	events, err := p.mirror.Receive(p.now, o)
	if err != nil {
		p.broken("%w", err)
	}
	p.hear(events)
	if s == p.stream && p.term != 0 {
		p.mirror.Taken()
		s.pumpPlane()
	}
}

func (p *plane) pump() {
	if p.stream != nil {
		p.stream.pumpPlane()
	}
}

func (p *plane) tick() {
	if p.stream != nil {
		p.stream.tickPlane()
	}
}
