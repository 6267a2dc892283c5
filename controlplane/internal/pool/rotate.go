package pool

import "time"

// Rotation: an instance that nears the end of its lifetime is replaced first and drained then. Only what is used, or
// needed for Min, is replaced: an idle pool must not invoke itself for ever.

// setRotation sets the timer that begins the rotation of an instance which is up. The lead covers twice the time that
// its own start took, so that the replacement is ready in time; the jitter spreads instances that started together. Both
// are measured by the life that this instance has, which may be much shorter than the settings expect.
func (p *Pool) setRotation(now time.Time, i *Instance) {
	if i.ends.IsZero() {
		return
	}
	left := i.ends.Sub(now)
	lead := max(left/10, min(2*i.took, left/2)) + time.Duration(p.rand.Int64N(int64(left/10)+1))
	p.timers.set(&i.deadline, i.ends.Add(-min(lead, left/2)))
}

// rotate is that timer's effect, and at the end of the lifetime once more.
func (p *Pool) rotate(now time.Time, i *Instance) {
	unused := i.granted == 0 && p.count[Ready] > p.settings.Scaling.Min
	if unused || !now.Before(i.ends) {
		p.drain(now, i, Rotation)
		return
	}
	i.rotating = true
	p.rotating++
	p.unreplaced++
	p.timers.set(&i.deadline, i.ends)
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
// one serves on to the end of its lifetime.
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
	if old != nil && old.rotating {
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
