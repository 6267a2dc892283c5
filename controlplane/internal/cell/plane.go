package cell

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	planes = 2
	most   = 5 // instances that may exist
)

// A plane is a control plane: a candidate, and while it leads a mirror of the relay and the instances that it knows.
type plane struct {
	process
	number    int
	candidate *lease.Candidate
	stepping  bool
	cutOff    time.Time // from the store, until then
	apart     time.Time // from the relay, until then
	leaves    bool

	term    uint64 // that it leads; 0: none
	began   time.Time
	mirror  *tables.Mirror
	stream  *stream
	known   map[string]*known
	target  int
	decides bool
}

// A known instance has not ended, as far as the leader knows.
type known struct{ expected, up, drains bool }

func newPlane(w *world, number int) *plane {
	p := &plane{process: process{world: w}, number: number, target: most}
	p.begin()
	return p
}

func (p *plane) begin() {
	p.dead, p.leaves, p.stepping, p.stream, p.mirror, p.term = false, false, false, nil, nil, 0
	p.candidate = lease.NewCandidate(fmt.Sprintf("plane%d.%d", p.number, p.life), "")
	p.every(100*time.Millisecond, p.step)
	p.every(pingEvery, p.tick)
	p.relay.after(0, func() { p.relay.dial(p) })
}

// kill ends the process; another one begins after a while.
func (p *plane) kill(away time.Duration) {
	p.note("plane %d is killed", p.number)
	p.dead = true
	if s := p.relay.streams[p]; s != nil {
		s.planeEnd.over = true
		s.toRelay(s.endRelay)
	}
	p.after(away, func() {
		p.life++
		p.note("plane %d begins anew", p.number)
		p.begin()
	})
}

// handOver ends the process in order.
func (p *plane) handOver(away time.Duration) {
	p.note("plane %d hands over", p.number)
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
	p.store.do(p, step, func(found lease.Record, err error) {
		p.stepping = false
		if step.Kind == lease.StepRead {
			p.candidate.Read(p.now, lease.Found{Record: found}, err)
		} else {
			p.candidate.Swapped(p.now, err)
		}
		p.step()
	})
}

func (p *plane) follow() {
	standing := p.candidate.Standing(p.now)
	switch {
	case p.term != 0 && (!standing.Leads || standing.Term != p.term):
		p.resign()
	case p.term == 0 && standing.Leads && !p.leaves:
		p.lead(standing.Term)
	}
	if p.term != 0 {
		p.sayRelays()
		p.decide()
	}
}

func (p *plane) lead(term uint64) {
	p.note("plane %d leads term %d", p.number, term)
	p.term, p.began, p.decides = term, p.now, false
	p.mirror, p.known = tables.NewMirror(term), map[string]*known{}
	p.target = p.rng.IntN(most + 1)
}

func (p *plane) resign() {
	if p.term == 0 {
		return
	}
	p.note("plane %d resigns term %d", p.number, p.term)
	p.term = 0
	p.candidate.End()
	if p.stream != nil {
		p.stream.endPlane()
	}
}

func (p *plane) sayRelays() {
	if p.mirror.Attached() {
		p.candidate.Relays([]string{"pair"}, p.mirror.Confirmed())
	} else {
		p.candidate.Relays(nil, p.mirror.Confirmed())
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
		p.mirror.Detach()
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
		p.decide()
		s.pumpPlane()
	}
}

func (p *plane) hear(events []tables.Event) {
	for _, e := range events {
		switch e := e.(type) {
		case tables.Superseded:
			p.candidate.Superseded(e.Term)
			p.resign()
			return
		case tables.Inherited:
			p.learn(e.ID)
		case tables.Expected:
			p.expected(e.Instance)
		case tables.Up:
			p.knows(e.Instance).up = true
		case tables.Lost:
			p.knows(e.Instance).up = false
		case tables.Load:
			p.knows(e.Instance)
		case tables.Draining:
			p.knows(e.Instance).drains = true
		case tables.Down:
			p.knows(e.Instance)
			delete(p.known, e.Instance)
			p.told[e.Instance] = true
		case tables.Synced:
			p.decides = true
		}
	}
}

func (p *plane) learn(id string) {
	if p.known[id] != nil {
		p.broken("%s is inherited and known", id)
	}
	p.known[id] = &known{expected: true}
}

func (p *plane) knows(id string) *known {
	k := p.known[id]
	if k == nil {
		p.broken("the leader is told of %s, which it does not know", id)
		return &known{}
	}
	return k
}

// expected invokes an instance that the relay lets in, and none else.
func (p *plane) expected(id string) {
	k := p.knows(id)
	if k.expected {
		p.broken("%s is confirmed twice", id)
	}
	k.expected = true
	if in := p.world.expected[id]; in != p.term {
		p.broken("%s is invoked in term %d, and expected in %d", id, p.term, in)
	}
	life, term := p.life, p.term
	p.invoke(id, func(bool) {
		p.when(p.now, life, func() {
			if p.term == term && p.known[id] != nil {
				p.mirror.Forget(id)
				p.pump()
			}
		})
	})
}

func (p *plane) pump() {
	if p.stream != nil {
		p.stream.pumpPlane()
	}
}

// decide starts what is missing and drains what is too much. It begins when the relay has told all that it has.
func (p *plane) decide() {
	if !p.decides || !p.candidate.Standing(p.now).Leads {
		return
	}
	serving := 0
	for _, k := range p.known {
		if !k.drains {
			serving++
		}
	}
	for ; serving < p.target && len(p.known) < most; serving++ {
		id := fmt.Sprintf("i%d.%d", p.term, p.order)
		p.order++
		p.known[id] = &known{}
		p.mirror.Expect(p.now, tables.Expectation{Instance: id, Function: "web", Endpoint: "web/0000", Expires: tables.Micros(10 * time.Second), Dollars: 1})
	}
	for _, id := range slices.Sorted(maps.Keys(p.known)) {
		if k := p.known[id]; serving > p.target && k.up && !k.drains {
			k.drains = true
			serving--
			p.mirror.Drain(id, wire.ReasonScaleIn)
		}
	}
	p.pump()
}

func (p *plane) tick() {
	if !p.calm && p.chance(25) {
		p.target = p.rng.IntN(most + 1)
	}
	if p.stream != nil {
		p.stream.tickPlane()
	}
}
