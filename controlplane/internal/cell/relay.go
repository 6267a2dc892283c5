package cell

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// grace is how long a relay waits for a peer that it has lost.
const grace = 3 * time.Second

// A relay has a keeper, and the instances that it was told to expect.
type relay struct {
	process
	keeper  *tables.Keeper
	care    *caretaker
	leaves  bool // it has been told to end
	session tables.Session
	streams map[*plane]*stream
	tunnels map[string]*tunnel // by instance

	// What lies in its state directory, and outlives the process.
	seen uint64 // the highest term of any message that came
	book map[string]entry

	obeyed map[uint64]time.Time // by term: when a leader's message was heard last that was not too old
}

// An entry is an instance as it was written down.
type entry struct {
	tables.Kept
	at time.Time
}

// A tunnel is an instance as the relay has it.
type tunnel struct {
	dialled, up bool
	losses      int
	ended       bool
	drain       bool
}

func newRelay(w *world) *relay {
	r := &relay{process: process{world: w}, book: map[string]entry{}, obeyed: map[uint64]time.Time{}}
	r.care = newCaretaker(r)
	w.relay = r
	r.begin()
	return r
}

func (r *relay) begin() {
	r.dead, r.leaves = false, false
	r.keeper = tables.NewKeeper(tables.Hello{Relay: "pair", Boot: fmt.Sprint("boot", r.life)}, r.seen)
	r.streams, r.tunnels = map[*plane]*stream{}, map[string]*tunnel{}
	r.care.begin()
	r.remember()
	r.every(pingEvery, r.tick)
}

// remember begins with the instances of the process before.
func (r *relay) remember() {
	var before []tables.Kept
	for _, id := range slices.Sorted(maps.Keys(r.book)) {
		e := r.book[id]
		e.Ago = r.now.Sub(e.at)
		before = append(before, e.Kept)
		if e.End != nil {
			r.tunnels[id] = &tunnel{dialled: true, ended: true}
		}
	}
	for _, c := range r.keeper.Remember(r.now, before) {
		r.obey(c)
	}
	r.write()
}

// write writes down what has changed, as the uplink does before anything is said of it.
func (r *relay) write() {
	c := r.keeper.Changes(r.now)
	for _, k := range c.Kept {
		r.book[k.ID] = entry{k, r.now}
	}
	for _, id := range c.Gone {
		delete(r.book, id)
	}
}

// finishes is how long a relay that is told to end stays for what is in flight, when nothing new comes to it.
const finishes = time.Second

// strike ends the process, at once or in order.
func (r *relay) strike(away time.Duration) {
	if r.leaves || r.chance(50) {
		r.kill(away)
		return
	}
	r.note("relay is told to end")
	r.leaves = true
	r.care.close()
	for _, p := range r.planes {
		if s := r.streams[p]; s != nil {
			s.endRelay()
		}
	}
	r.later(r.between(200*time.Millisecond, finishes), func() { r.kill(away) })
}

// burn loses what lies in the state directory of a process that is dead, as a host does that fails. What ran is nobody's then,
// unless its leader outlives that: it comes back, or ends soon.
func (r *relay) burn() {
	if !r.dead {
		return
	}
	r.note("what the relay has written down is lost")
	r.seen, r.book = 0, map[string]entry{}
	for _, i := range r.running {
		i.astray()
	}
}

// kill ends the process, with every tunnel. Another one begins after a while.
func (r *relay) kill(away time.Duration) {
	r.note("relay is killed")
	r.dead = true
	if !r.leaves {
		r.care.close()
	}
	for _, p := range r.planes {
		if s := r.streams[p]; s != nil && !s.silent {
			s.relayEnd.over = true
			s.toPlane(s.endPlane)
		}
	}
	for _, i := range r.running {
		i.disconnected()
	}
	r.tunnels = map[string]*tunnel{}
	r.after(away, func() {
		r.life++
		r.note("relay begins anew")
		r.begin()
		for _, p := range r.planes {
			r.dial(p)
		}
	})
}

// dial opens a stream to a plane, as long as there is none.
func (r *relay) dial(p *plane) {
	if r.streams[p] != nil || r.leaves {
		return
	}
	if p.dead || r.now.Before(p.paused) || r.now.Before(p.apart) {
		r.later(r.between(50*time.Millisecond, 250*time.Millisecond), func() { r.dial(p) })
		return
	}
	r.session++
	s := &stream{world: r.world, relay: r, plane: p, relayLife: r.life, planeLife: p.life, session: r.session}
	r.streams[p] = s
	greeting := r.keeper.Greeting()
	s.toPlane(func() { p.attach(s, greeting) })
}

func (r *relay) ended(s *stream) {
	r.keeper.Close(s.session)
	if r.streams[s.plane] == s {
		delete(r.streams, s.plane)
		r.later(r.between(12*time.Millisecond, 250*time.Millisecond), func() { r.dial(s.plane) })
	}
}

func (r *relay) tick() {
	for _, p := range r.planes {
		if s := r.streams[p]; s != nil {
			s.tickRelay()
		}
	}
}

// pump sends what there is to say.
func (r *relay) pump() {
	r.write()
	for _, p := range r.planes {
		if s := r.streams[p]; s != nil {
			s.pumpRelay()
		}
	}
}

func (r *relay) receive(s *stream, d tables.Desired) {
	commands, err := r.keeper.Receive(r.now, s.session, d)
	r.seen = max(r.seen, r.keeper.Term())
	switch {
	case errors.As(err, new(*tables.StaleError)):
		term := r.keeper.Term()
		s.toPlane(func() { s.plane.receive(s, tables.Observed{Term: term}) })
		return
	case err != nil:
		s.endRelay()
		return
	}
	r.obeyed[d.Term] = r.now
	if len(commands) > 0 && d.Term < r.seen {
		r.broken("the relay obeys term %d after %d", d.Term, r.seen)
	}
	for _, c := range commands {
		if e, is := c.(tables.Expect); is {
			r.note("relay expects %s in term %d", e.Instance, d.Term)
			r.expected[e.Instance] = d.Term
		}
		r.obey(c)
	}
	r.pump()
}

func (r *relay) obey(c tables.Command) {
	switch c := c.(type) {
	case tables.Expect:
		if r.tunnels[c.Instance] != nil {
			r.broken("%s is expected twice", c.Instance)
		}
		r.care.expect(c.Expectation)
		t := &tunnel{}
		r.tunnels[c.Instance] = t
		r.later(c.Expires.Duration(), func() {
			if !t.dialled {
				r.end(c.Instance, tables.End{Cause: tables.EndNeverDialled})
			}
		})
	case tables.Drain:
		if t := r.tunnels[c.Instance]; t != nil {
			t.drain = true
			r.care.draining(c.Instance)
			if t.up {
				r.instances[c.Instance].drained()
			}
		}
	case tables.Forget:
		r.end(c.Instance, tables.End{Cause: tables.EndForgotten})
		if i := r.instances[c.Instance]; i != nil {
			i.disconnected()
		}
	}
}

// A verdict is what a peer that dials is told.
type verdict int

const (
	letIn verdict = iota
	notNow
	turnedAway
)

func (r *relay) dialled(i *instance) verdict {
	t := r.tunnels[i.id]
	switch {
	case r.dead || r.leaves || r.now.Before(r.paused):
		return notNow
	case t == nil && !r.keeper.Settled():
		return notNow
	case t == nil || t.ended:
		return turnedAway
	}
	t.dialled, t.up = true, true
	r.care.up(i)
	r.keeper.Up(r.now, tables.Up{Instance: i.id, Environment: i.environment.name, Cold: i.cold, Slots: slots, Left: tables.Micros(max(1, i.deadline.Sub(r.now)))})
	if t.drain {
		i.drained()
	}
	r.pump()
	return letIn
}

// lost follows a control stream that broke off.
func (r *relay) lost(id string) {
	t := r.tunnels[id]
	if t == nil || t.ended || !t.up {
		return
	}
	t.up = false
	t.losses++
	losses := t.losses
	r.care.lost(id)
	r.keeper.Lost(id, "broken")
	r.pump()
	r.later(grace, func() {
		if !t.up && t.losses == losses {
			r.end(id, tables.End{Cause: tables.EndControlEnded})
		}
	})
}

// load takes in what a peer counted a while ago.
func (r *relay) load(id string, n int, ago time.Duration) {
	if t := r.tunnels[id]; t != nil && t.up && !t.ended {
		r.care.load(id, n, ago)
		r.keeper.Load(r.now, tables.Load{Instance: id, InFlight: n, Way: tables.Micros(ago)})
		r.pump()
	}
}

func (r *relay) end(id string, how tables.End) {
	t := r.tunnels[id]
	if t == nil || t.ended {
		return
	}
	t.ended, t.up = true, false
	r.note("%s ends at the relay: %s", id, how.Cause)
	r.care.ended(id)
	r.keeper.Down(r.now, id, how)
	r.pump()
}

// draining says that a peer drains by its own decision.
func (r *relay) draining(id string) {
	r.care.draining(id)
	r.keeper.Draining(id, wire.ReasonDeadline)
	r.pump()
}
