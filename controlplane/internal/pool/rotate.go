package pool

import "time"

// Rotation: an instance that nears the end of its invocation is first replaced and then drained. Only instances that are used, or
// needed for Min, are replaced, so that an idle pool does not invoke its function for ever.

// A Margin says how long before the end of its invocation an instance gets its last lease, so that the request can end in time. It
// is at most a share of the instance's life.
type Margin struct {
	Request time.Duration // the longest request that surely ends in time; 0: DefaultRequest
	Bounded bool          // no request takes longer
}

// Divisors that say which share of an instance's life a margin may take. It may be larger if the length of requests is bounded.
const (
	marginShare        = 3   // a third
	boundedMarginShare = 1.5 // two thirds
	// learnedMargin is the share of its life that an instance may rotate earlier because requests take long.
	learnedMargin = 0.7
)

// reserve is the part of the margin after the request: the peer cuts off requests a moment before the end, to answer its
// invocation.
const reserve = 2 * time.Second

// DefaultRequest is Margin.Request if that is not set.
const DefaultRequest = 2 * time.Minute

// Of is the margin that a peer keeps by itself if its life has that length.
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

// least is the least margin of an instance. Its peer keeps the one that it was told, and the settings may ask for more by now.
func (p *Pool) least(i *Instance) time.Duration {
	return max(i.margin.least(i.life), p.settings.Margin.least(i.life))
}

// margin is how long before its end the instance should get its last lease, by what is known now about how long requests take.
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

// learnTail records how long a request was in flight. One that ends when its instance has no time left was cut off, so it is not
// known how long it would have taken.
func (p *Pool) learnTail(i *Instance, took time.Duration) {
	switch {
	case !i.ends.IsZero() && i.ends.Sub(p.now) < min(reserve, i.life/marginShare/2):
		p.tail.Cut(p.now)
	case (i.state == Ready || i.state == Draining) && p.tail.Ended(p.now, took):
		p.reconsider()
	}
}

// reconsider resets the rotation of all ready instances, because some may have to rotate earlier.
func (p *Pool) reconsider() {
	for i := range p.Instances() {
		if i.state == Ready && !i.ends.IsZero() {
			p.setRotation(p.now, i)
		}
	}
}

// lead is how long before the last lease the rotation begins. It covers twice the time that the instance's own start took, so that
// the replacement is ready in time. The jitter spreads instances that started together. Both are bounded by the time that the
// instance serves, which may be much shorter than the settings expect.
func (i *Instance) lead(margin time.Duration) time.Duration {
	serves := i.life - margin
	lead := max(serves/10, min(2*i.took, serves/2)) + time.Duration(i.jitter*float64(serves)/10)
	return min(lead, serves/2)
}

// setRotation sets the timer of a ready instance: to when its rotation begins or, once it rotates, to its last lease. Requests in
// flight get older and may make the rotation earlier, so the timer fires more often than that.
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
		p.drain(now, i, i.rotationOf())
	case !now.Before(last) && i.rotating:
		p.timers.set(&i.deadline, earlier(end, now.Add(i.life/64))) // the others have no room for its requests yet
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

// finishReplacement drains the instance that a new one replaces, because the new one is up. If requests wait, every slot is needed,
// and the old one keeps serving to the end of its time.
func (p *Pool) finishReplacement(now time.Time, n *Instance) {
	old := n.replaces
	n.replaces = nil
	if old != nil && old.rotating && p.queue.n == 0 {
		p.drain(now, old, old.rotationOf())
	}
}

// loseReplacement allows another replacement, because the new instance n will not come up.
func (p *Pool) loseReplacement(n *Instance) {
	old := n.replaces
	n.replaces = nil
	if old != nil && old.replaced { // not if it has been down since, and rotates anew
		old.replaced = false
		p.unreplaced++
	}
}

// stopRotating ends the rotation of an instance that is not ready any more.
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
