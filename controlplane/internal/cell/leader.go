package cell

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// hear brings the relay's news to the pool.
func (p *plane) hear(events []tables.Event) {
	for _, e := range events {
		switch e := e.(type) {
		case tables.Superseded:
			p.candidate.Superseded(e.Term)
			p.resign()
			return
		case tables.Noted:
			p.learn(e.Note)
		case tables.Inherited:
			p.inherit(e.Instance)
		case tables.Expected:
			p.expected(e.Instance)
		case tables.Up:
			p.up(e)
		case tables.Lost:
			k := p.knows(e.Instance)
			k.up = false
			p.change(k, func(k *known) *pool.Effects {
				if e.Relay {
					return p.pool.Away(p.now, k.core)
				}
				return lost(p.pool, p.now, k.core)
			})
		case tables.Load:
			p.change(p.knows(e.Instance), func(k *known) *pool.Effects {
				return p.pool.Report(p.now, k.core, e.InFlight, pool.DefaultDelay+e.Way.Duration())
			})
		case tables.Draining:
			p.change(p.knows(e.Instance), func(k *known) *pool.Effects { return p.pool.Draining(p.now, k.core) })
		case tables.Down:
			p.down(e)
		case tables.Synced:
			p.relayed(true)
			if !p.decides || p.still {
				p.decides, p.still = true, false
				p.do(p.pool.Resume(p.now))
			}
		}
	}
}

func (p *plane) learn(n tables.Note) {
	var note pool.Note
	if err := json.Unmarshal(n.Text, &note); err != nil {
		p.broken("a note cannot be read: %w", err)
		return
	}
	if !p.learned && !p.decides {
		p.learned = true
		p.pool.Learn(p.now, note, n.Age.Duration())
	}
}

// writeNote writes down what the pool has learned.
func (p *plane) writeNote() {
	if p.term == 0 || !p.decides {
		return
	}
	text, err := json.Marshal(p.pool.Note(p.now))
	if err != nil {
		p.broken("a note cannot be written: %w", err)
	}
	p.notes++
	p.mirror.Note(p.now, tables.Note{Function: "web", Term: p.term, Number: p.notes, Text: text})
	p.pump()
}

func (p *plane) inherit(i tables.Instance) {
	if p.known[i.ID] != nil {
		p.broken("%s is inherited and known", i.ID)
	}
	estate := pool.Estate{
		Index: endpoint(p.world, i.Endpoint), Started: p.now.Add(-i.Age.Duration()), Environment: i.Environment, Cold: i.Cold,
		Price: scaler.NewPrice(i.Dollars, 0), Told: pool.Reason(i.Drain),
	}
	if i.UpFor > 0 {
		estate.Took = max(i.Age.Duration()-i.UpFor.Duration(), 1)
	}
	core, err := p.pool.Inherit(p.now, estate)
	if err != nil {
		p.broken("%s is not inherited: %w", i.ID, err)
		return
	}
	core.ID = i.ID
	p.known[i.ID] = &known{core: core, expected: true, orphaned: true}
	core.Owner = p.known[i.ID]
	if err := p.pool.Check(); err != nil {
		p.broken("pool: %w", err)
	}
}

func (p *plane) knows(id string) *known {
	k := p.known[id]
	if k == nil {
		p.broken("the leader is told of %s, which it does not know", id)
		return &known{ended: true}
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
	if k.ended {
		return
	}
	life, term := p.life, p.term
	p.invoke(id, func(failed bool) {
		p.when(p.now, life, func() {
			if p.term == term {
				p.returned(k, failed)
			}
		})
	})
}

// returned follows the end of an invocation that this leader made.
func (p *plane) returned(k *known, failed bool) {
	end := pool.End{}
	if failed {
		end.Cause = scaler.Crashed
	}
	p.over(k, end)
	p.mirror.Forget(k.core.ID)
	p.pump()
}

// over ends an instance in the pool, once.
func (p *plane) over(k *known, end pool.End) {
	p.change(k, func(k *known) *pool.Effects {
		k.ended = true
		return p.pool.Ended(p.now, k.core, end)
	})
}

func (p *plane) up(u tables.Up) {
	k := p.knows(u.Instance)
	k.up = true
	p.change(k, func(k *known) *pool.Effects {
		k.core.In(u.Environment)
		if !u.Cold {
			k.core.Reused()
		}
		k.core.EndBy(p.now.Add(u.Left.Duration()))
		return p.pool.Up(p.now, k.core, u.Slots)
	})
}

func (p *plane) down(d tables.Down) {
	k := p.knows(d.Instance)
	me := leadership{p.name(), p.term}
	if p.told[d.Instance] == me {
		p.broken("the leader is told twice of the end of %s", d.Instance)
	}
	p.told[d.Instance] = me
	delete(p.known, d.Instance)
	p.change(k, func(k *known) *pool.Effects { return p.pool.Down(p.now, k.core) })
	if k.orphaned || !k.expected {
		end := pool.End{}
		if d.End.Report == nil {
			end = pool.End{Cause: scaler.Unknown, Lost: true}
		}
		p.over(k, end)
		if end.Lost {
			p.writeNote()
		}
	}
}

// change does something to an instance that the pool has.
func (p *plane) change(k *known, do func(*known) *pool.Effects) {
	if !k.ended && p.term != 0 {
		p.do(do(k))
	}
}

// carry carries out what the pool decides about instances.
func (p *plane) carry(e *pool.Effects) {
	for _, core := range e.Start {
		p.start(core)
	}
	for _, core := range e.Finish {
		p.mirror.Drain(core.ID, wire.Reason(core.DrainReason()))
	}
	for _, core := range e.Kill {
		p.mirror.Forget(core.ID)
	}
	p.pump()
}

func (p *plane) start(core *pool.Instance) {
	if !p.decides {
		p.broken("an instance is started before it is known what there is")
	}
	id := fmt.Sprintf("i%d.%d", p.term, p.order)
	p.order++
	p.needed()
	core.ID = id
	p.known[id] = &known{core: core}
	core.Owner = p.known[id]
	p.mirror.Expect(p.now, tables.Expectation{
		Instance: id, Function: "web", Endpoint: fmt.Sprintf("web/%04d", core.Index()), Expires: tables.Micros(15 * time.Second),
		Dollars: core.Price().PerHour(),
	})
}

// needed holds a start against what there is. The leader knows of every instance that its relay lets in. That one is started for
// nobody, beside two that do nothing and go on for a while, is the reserve's right, or the forecast's, and rare.
func (p *plane) needed() {
	p.starts++
	idle := 0
	for _, i := range p.running {
		t, k := p.relay.tunnels[i.id], p.known[i.id]
		if k == nil && t != nil && !t.ended && p.relay.seen == p.term {
			p.broken("an instance is started, and the leader does not know of %s", i.id)
		}
		if k != nil && k.up && i.connected && !i.leaving && i.inFlight == 0 && i.deadline.Sub(p.now) > rotates {
			idle++
		}
	}
	if idle >= 2 && p.pool.Stats().Waiting == 0 {
		p.needless++
	}
}

// rotates is how long before its deadline an instance may be replaced.
const rotates = 5 * time.Second

// endpoint is the index in an endpoint's name.
func endpoint(w *world, name string) int {
	index, err := strconv.Atoi(strings.TrimPrefix(name, "web/"))
	if err != nil {
		w.broken("endpoint %q", name)
	}
	return index
}
