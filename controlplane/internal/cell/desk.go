package cell

import (
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A desk is where Envoy may ask: a pool with the requests that it holds. A leader has one, and the caretaker beside the relay.
type desk struct {
	*process
	pool    *pool.Pool // nil: nobody decides here
	opened  int        // number of the pool
	waiting map[*request]bool
	armed   time.Time
	carry   func(*pool.Effects) // carries out what concerns instances
	may     func() bool         // whether it may lease
}

func (d *desk) open(p *pool.Pool) {
	d.pool, d.waiting, d.armed = p, map[*request]bool{}, time.Time{}
	d.opened++
}

// close lets Envoy have the requests that wait: their streams end.
func (d *desk) close() {
	d.pool = nil
	waiting := d.held()
	d.waiting = nil
	for _, r := range waiting {
		d.back(r)
	}
}

// held are the requests that wait, in the order of their arrival.
func (d *desk) held() []*request {
	return slices.SortedFunc(maps.Keys(d.waiting), func(a, b *request) int { return a.arrived.Compare(b.arrived) })
}

// back gives Envoy a request back, which it offers again.
func (d *desk) back(r *request) {
	r.lease = nil
	d.after(d.between(time.Millisecond, hold), func() { d.offer(r) })
}

func (d *desk) acquire(r *request) {
	lease := &pool.Request{Owner: r, Began: r.arrived}
	r.owner, r.life, r.opened, r.lease = d, d.life, d.opened, lease
	d.do(d.pool.Acquire(d.now, lease)) // which may give it up at once
	switch lease.State() {
	case pool.Leased:
		d.dispatch(r)
	case pool.Waiting:
		d.waiting[r] = true
	case pool.Rejected:
		d.lose(r)
	}
}

// elsewhere is the cause of a request that a caretaker gives up because there is a leader.
const elsewhere pool.Cause = "elsewhere"

// lose follows a request that the pool does not serve.
func (d *desk) lose(r *request) {
	if r.lease.Cause() == elsewhere {
		d.back(r)
		return
	}
	r.lease = nil
	r.over = true
}

// dispatch sends a request to its instance.
func (d *desk) dispatch(r *request) {
	if !d.may() {
		d.broken("a control plane leases that does not lead any more")
	}
	id := r.lease.Instance().ID
	d.after(d.between(200*time.Microsecond, 3*time.Millisecond), func() { d.serve(r, id) })
}

// do carries out what the pool decides, and holds it to its own promises: nobody waits beside a free slot, among others.
func (d *desk) do(e *pool.Effects) {
	dispatched, evicted := slices.Clone(e.Dispatched), slices.Clone(e.Evicted)
	d.carry(e)
	for _, lease := range dispatched {
		if r := d.settle(lease); r != nil {
			d.dispatch(r)
		}
	}
	for _, lease := range evicted {
		if r := d.settle(lease); r != nil {
			d.lose(r)
		}
	}
	if err := d.pool.Check(); err != nil {
		d.broken("pool: %w", err)
	}
	d.arm()
}

// settle ends the wait of a request. It is nil if Envoy has taken that back meanwhile.
func (d *desk) settle(lease *pool.Request) *request {
	r := lease.Owner.(*request)
	if r.lease != lease {
		return nil
	}
	delete(d.waiting, r)
	return r
}

// arm lets the pool look at the clock when it wants to.
func (d *desk) arm() {
	next := d.pool.Next()
	if next.IsZero() || !d.armed.IsZero() && d.armed.After(d.now) && !next.Before(d.armed) {
		return
	}
	d.armed = next
	opened := d.opened
	d.when(later(next, d.now), d.life, func() {
		if d.pool != nil && d.opened == opened {
			d.armed = time.Time{}
			d.do(d.pool.Tick(d.now))
		}
	})
}
