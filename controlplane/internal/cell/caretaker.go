package cell

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

// Times of a caretaker, as package controlplane has them.
const (
	looksEvery = 100 * time.Millisecond
	noticed    = 5 // looks
)

// A caretaker decides about requests in the relay's process while nobody leads. It hears what the relay hears and is told, and
// starts and ends nothing.
type caretaker struct {
	desk
	known map[string]*pool.Instance
	led   int // looks that have found a leader, in a row
}

func newCaretaker(r *relay) *caretaker {
	return &caretaker{desk: desk{process: &r.process, carry: func(*pool.Effects) {}, may: func() bool { return true }}}
}

func (c *caretaker) begin() {
	c.known, c.led = map[string]*pool.Instance{}, 0
	c.open(pool.New(settings(c.rng.Uint64()).Caretaker()))
	c.every(looksEvery, c.look)
}

// look gives what waits to whoever leads.
func (c *caretaker) look() {
	if c.pool == nil {
		return
	}
	if c.led++; !c.relay.keeper.Attached() || !c.relay.keeper.Settled() {
		c.led = 0
	}
	if c.led >= noticed {
		c.do(c.pool.Dismiss(c.now, elsewhere))
	}
}

// expect takes in whom the relay was told to expect. Two of one endpoint cannot be told apart: the first counts.
func (c *caretaker) expect(e tables.Expectation) {
	index := endpoint(c.world, e.Endpoint)
	core, err := c.pool.Inherit(c.now, pool.Estate{Index: index, Started: c.now, Adopted: true})
	if err != nil {
		return
	}
	core.ID = e.Instance
	c.known[e.Instance] = core
	c.do(c.pool.Tick(c.now))
}

// change tells the pool what has happened to an instance.
func (c *caretaker) change(id string, how func(*pool.Instance) *pool.Effects) {
	if core := c.known[id]; core != nil && c.pool != nil {
		c.do(how(core))
	}
}

func (c *caretaker) up(i *instance) {
	c.change(i.id, func(core *pool.Instance) *pool.Effects {
		core.In(i.environment.name)
		return c.pool.Up(c.now, core, slots)
	})
}

func (c *caretaker) load(id string, n int, ago time.Duration) {
	c.change(id, func(core *pool.Instance) *pool.Effects { return c.pool.Report(c.now, core, n, pool.DefaultDelay+ago) })
}

func (c *caretaker) draining(id string) {
	c.change(id, func(core *pool.Instance) *pool.Effects { return c.pool.Draining(c.now, core) })
}

func (c *caretaker) lost(id string) {
	c.change(id, func(core *pool.Instance) *pool.Effects { return lost(c.pool, c.now, core) })
}

// lost follows a peer that is not heard any more. What one that drains has in flight goes on.
func lost(p *pool.Pool, now time.Time, core *pool.Instance) *pool.Effects {
	if core.State() == pool.Draining {
		return p.Tick(now)
	}
	return p.Down(now, core)
}

func (c *caretaker) ended(id string) {
	c.change(id, func(core *pool.Instance) *pool.Effects { return c.pool.Down(c.now, core) })
	c.change(id, func(core *pool.Instance) *pool.Effects { return c.pool.Ended(c.now, core, pool.End{}) })
	delete(c.known, id)
}
