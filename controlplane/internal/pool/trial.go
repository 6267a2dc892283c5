package pool

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// An instance whose requests take longer than those of others may be slow, or may have got the long requests: a client that asks
// again at once gets the slot that it has just given back, so that the same kind of request gathers on an instance. A trial tells
// the two apart. For a while it assigns requests at random to this instance or to another one, and compares
// the times of these requests, which differ in nothing but the instance. Requests from the queue count too, because chance
// decides whose slot they get.

// A trial compares one instance with the others.
type trial struct {
	of     *Instance
	from   time.Time // from then on reports tell of its answers
	until  time.Time // when it ends without a verdict
	owed   arm       // where the next request goes, so that both sides count as many at any time: all may be slow for a while
	own    scaler.Pace
	others scaler.Pace
	open   []*Request  // those of both sides that are in flight
	faults *faultTrial // not nil: it looks for errors, and not for how long requests take
}

// An arm is the side of a trial on which a request counts.
type arm uint8

const (
	none arm = iota
	onSuspect
	onOthers
)

const (
	longestTrial = 10 * time.Second
	// retrial is how long an instance is not tried again after a trial that found nothing. It doubles each time.
	retrial = 10 * time.Second
	// alike is by how many leases more an instance may have to be compared, because an app that computes is slower when it is full.
	// One that has fewer, and is slower all the same, is slow.
	alike = 2
	// mostOpen bounds the requests of a trial that are in flight.
	mostOpen = 128
)

// try begins a trial of an instance.
func (p *Pool) try(i *Instance, longest time.Duration) {
	p.trial = &trial{of: i, from: p.now.Add(toldWithin), until: p.now.Add(longest)}
}

// Acquittals are trials that found nothing. The next one waits for longer each time.
type acquittals struct {
	n     int
	again time.Time // the earliest time of the next trial
}

// mayBeTried reports whether a trial of the instance may begin, after those of its kind that found nothing.
func (i *Instance) mayBeTried(now time.Time, before acquittals) bool {
	return i.state == Ready && !i.isLast() && !now.Before(before.again)
}

// tries returns the trial under way; nil if there is none, or if it has just ended.
func (p *Pool) tries() *trial {
	t := p.trial
	switch {
	case t == nil:
	case t.of.state != Ready || t.of.isLast() || p.roll != nil:
		p.trial = nil
	case !p.now.Before(t.until):
		p.acquit()
	case t.faults == nil && t.drags(p.now):
		p.condemn(t.of)
	}
	return p.trial
}

// drags reports whether the instance would be found slow if the trial's requests in flight ended now. Both sides have equally many of the
// same age, so only the instance makes a difference, and a verdict need not wait for the answers of a slow one.
func (t *trial) drags(now time.Time) bool {
	own, others := t.own, t.others
	for _, r := range t.open {
		side := &others
		if r.arm == onSuspect {
			side = &own
		}
		side.Add(now.Sub(r.leased), 1)
	}
	return scaler.Compare(&own, &others) == scaler.Slower
}

// out is how many of its requests are in flight on the instance. If they are enough to find it slow it gets no more before
// some have ended.
func (t *trial) out() (n int) {
	for _, r := range t.open {
		if r.arm == onSuspect {
			n++
		}
	}
	return n
}

// acquit ends the trial: nothing was found.
func (p *Pool) acquit() {
	a := &p.trial.of.cleared
	if p.trial.faults != nil {
		a = &p.trial.of.faultless
	}
	a.again = p.now.Add(min(retrial<<min(a.n, 8), slowFor))
	a.n++
	p.trial = nil
}

// assign returns the instance to lease from for a request, and the arm of the trial on which it counts.
func (p *Pool) assign(r *Request) (*Instance, arm) {
	t := p.tries()
	usual := p.table[p.next(r)]
	switch {
	case t == nil || usual.isLast() || r.Deadly:
		return usual, none
	case r.state == Waiting:
		return usual, t.count(r, t.armOf(usual))
	}
	other := p.beside(t.of, r)
	switch {
	case other == nil || t.of.free() == 0:
		return usual, none
	case t.of.leases.n > other.leases.n+alike, t.out() >= scaler.CompareLeast:
		return other, none
	}
	next := t.owed
	if next == none {
		next = onSuspect + arm(p.rand.Uint64()&1)
	}
	if next == onOthers {
		return other, t.count(r, next)
	}
	return t.of, t.count(r, next)
}

func (t *trial) armOf(i *Instance) arm {
	if i == t.of {
		return onSuspect
	}
	return onOthers
}

// count returns the arm if a request may count on it now, otherwise none. It keeps both arms equally full.
func (t *trial) count(r *Request, a arm) arm {
	switch {
	case len(t.open) >= mostOpen:
		return none
	case t.owed == none:
		t.owed = onSuspect + onOthers - a
	case t.owed == a:
		t.owed = none
	default:
		return none
	}
	t.open = append(t.open, r)
	return a
}

// ended says that a request is in flight no more. One that counts in another trial counts no more.
func (t *trial) ended(r *Request) {
	if t == nil || r.arm == none {
		return
	}
	if k := slices.Index(t.open, r); k >= 0 {
		t.open = slices.Delete(t.open, k, k+1)
	} else {
		r.arm = none
	}
}

// beside is the instance to lease from if i were not there; nil if only slow or worn ones remain.
func (p *Pool) beside(i *Instance, r *Request) *Instance {
	list := p.index(i)
	list.remove(i.index, i.free())
	defer list.add(i.index, i.free())
	if index := p.nextBesideStreams(r); index >= 0 {
		return p.table[index]
	}
	return nil
}

// witness records how long a request of the trial took, and decides the trial if that is enough.
func (p *Pool) witness(r *Request, took time.Duration) {
	t := p.tries()
	switch {
	case t == nil || r.arm == none || t.faults != nil:
		return
	case r.arm == onSuspect:
		t.own.Add(took, 1)
	default:
		t.others.Add(took, 1)
	}
	switch scaler.Compare(&t.own, &t.others) {
	case scaler.Slower:
		p.condemn(t.of)
	case scaler.Alike:
		p.acquit()
	}
}

// condemn makes an instance slow, unless a quarter of all already is: then the load has changed, not the instance.
func (p *Pool) condemn(i *Instance) {
	if i.counts && p.now.Before(p.trial.from) {
		return // others may be quick because they fail, which is known by then
	}
	if p.slow >= max(1, p.count[Ready]/4) {
		p.acquit()
		return
	}
	p.trial = nil
	p.remember(i.environment)
	p.setSlow(i, true)
	p.beginRotation(p.now, i)
}
