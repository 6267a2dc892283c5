package pool

import "time"

// Rotation: an instance that nears the end of its invocation is replaced first and drained then. Only what is used, or
// needed for Min, is replaced: an idle pool must not invoke itself for ever.

// A Margin says how long before the end of its invocation an instance gets its last lease, so that the request can end in
// time. It is a share of the life that the instance has, or the same for all if that is shorter.
type Margin struct {
	Request time.Duration // the longest request that surely ends in time; 0: DefaultRequest
	Bounded bool          // no request takes longer
}

// Shares of an instance's life, in its invocation: what a margin takes at most. The larger one is for requests whose length
// somebody has bounded.
const (
	marginShare        = 3 // a third
	boundedMarginShare = 1.5
	// learnedMargin is the share up to which an instance rotates earlier where requests take long. It leaves time to serve.
	learnedMargin = 0.7
)

// reserve is what of the margin is not the request's: the peer cuts what is left a moment before the end, to answer its
// invocation.
const reserve = 2 * time.Second

// DefaultRequest is the longest request that surely ends in time if nobody says otherwise.
const DefaultRequest = 2 * time.Minute

// Of is the margin that a peer keeps by itself in an invocation of that length.
func (m Margin) Of(life time.Duration) time.Duration {
	request := m.Request
	if request <= 0 {
		request = DefaultRequest
	}
	if m.Bounded {
		return min(request+reserve, time.Duration(float64(life)/boundedMarginShare))
	}
	return min(request+reserve, life/marginShare)
}

// least is a little more, so that the pool drains an instance before its peer does so by itself.
func (m Margin) least(life time.Duration) time.Duration {
	return m.Of(life) + m.Of(life)/8
}

// least is the margin of an instance: its peer keeps the one that it was told, and requests may need a longer one by now.
func (p *Pool) least(i *Instance) time.Duration {
	return max(i.margin.least(i.life), p.settings.Margin.least(i.life))
}

// margin is how long before its end the instance should get its last lease, as far as is known now about how long requests
// take.
func (p *Pool) margin(now time.Time, i *Instance) time.Duration {
	least := p.least(i)
	if p.settings.Margin.Bounded {
		return least
	}
	most := time.Duration(learnedMargin * float64(i.life))
	return max(least, min(most, p.tail.Expect(now, p.oldest(now), most)+min(reserve, i.life/20)))
}

// oldest is how long the oldest request has been in flight.
func (p *Pool) oldest(now time.Time) time.Duration {
	first := now
	for i := range p.Instances() {
		if r := i.leases.head; r != nil && r.leased.Before(first) {
			first = r.leased
		}
	}
	return now.Sub(first)
}

// learnTail takes in how long a request was in flight on an instance. One that ends when its instance has no time left was
// cut, and how long it would have taken nobody knows.
func (p *Pool) learnTail(i *Instance, took time.Duration) {
	switch {
	case !i.ends.IsZero() && i.ends.Sub(p.now) < min(reserve, i.life/marginShare/2):
		p.tail.Cut(p.now)
	case (i.state == Ready || i.state == Draining) && p.tail.Ended(p.now, took):
		p.reconsider()
	}
}

// reconsider looks at once at all instances that may have to rotate earlier.
func (p *Pool) reconsider() {
	for i := range p.Instances() {
		if i.state == Ready && !i.ends.IsZero() {
			p.setRotation(p.now, i)
		}
	}
}

// lead is how long before the last lease the rotation begins. It covers twice the time that the instance's own start took,
// so that the replacement is ready in time; the jitter spreads instances that started together. Both are measured by the
// time that the instance serves, which may be much shorter than the settings expect.
func (i *Instance) lead(margin time.Duration) time.Duration {
	serves := i.life - margin
	lead := max(serves/10, min(2*i.took, serves/2)) + time.Duration(i.jitter*float64(serves)/10)
	return min(lead, serves/2)
}

// setRotation sets the timer of an instance that is ready: when its rotation begins, or, once it rotates, when it has had
// its last lease. Requests in flight are getting older, so it is looked at again before they could make that earlier.
func (p *Pool) setRotation(now time.Time, i *Instance) {
	if i.ends.IsZero() {
		return
	}
	margin := p.margin(now, i)
	at := i.ends.Add(-margin)
	if !i.rotating {
		at = at.Add(-i.lead(margin))
		at = earlier(at, now.Add(max(at.Sub(now)/4, i.life/64)))
	}
	p.timers.set(&i.deadline, at)
}

// rotate is that timer's effect.
func (p *Pool) rotate(now time.Time, i *Instance) {
	margin := p.margin(now, i)
	last, end := i.ends.Add(-margin), i.ends.Add(-p.least(i))
	unused := i.unused() && p.count[Ready] > p.settings.Scaling.Min
	switch {
	case now.Before(last.Add(-i.lead(margin))) && !i.rotating:
		p.setRotation(now, i)
	case unused, !now.Before(end), !now.Before(last) && p.free-i.free() >= i.leases.n:
		p.drain(now, i, Rotation)
	case !now.Before(last) && i.rotating:
		p.timers.set(&i.deadline, earlier(end, now.Add(i.life/64))) // others have no room for what it serves
	default:
		p.beginRotation(now, i)
	}
}

func (p *Pool) beginRotation(now time.Time, i *Instance) {
	if !i.rotating {
		i.rotating = true
		p.rotating++
		p.unreplaced++
	}
	p.setRotation(now, i)
}

// replaceOldest makes the new instance the replacement of the rotating one that ends first.
func (p *Pool) replaceOldest(n *Instance) {
	var oldest *Instance
	for i := range p.Instances() {
		if i.rotating && !i.replaced && (oldest == nil || i.ends.Before(oldest.ends)) {
			oldest = i
		}
	}
	if oldest != nil {
		n.replaces = oldest
		oldest.replaced = true
		p.unreplaced--
	}
}

// finishReplacement drains what a new instance replaces, now that it is up, unless every slot is needed: then the old
// one serves on to the end of its time.
func (p *Pool) finishReplacement(now time.Time, n *Instance) {
	old := n.replaces
	n.replaces = nil
	if old != nil && old.rotating && p.queue.n == 0 {
		p.drain(now, old, Rotation)
	}
}

// loseReplacement makes room for another replacement when the new instance n will not come up.
func (p *Pool) loseReplacement(n *Instance) {
	old := n.replaces
	n.replaces = nil
	if old != nil && old.replaced { // not if it has been down since, and rotates anew
		old.replaced = false
		p.unreplaced++
	}
}

// stopRotating follows an instance that is not ready any more.
func (p *Pool) stopRotating(i *Instance) {
	if !i.rotating {
		return
	}
	p.rotating--
	if !i.replaced {
		p.unreplaced--
	}
	i.rotating, i.replaced = false, false
}
