package pool

import "time"

// Rotation: an instance that nears the end of its lifetime is replaced first and drained then. Only what is used, or
// needed for Min, is replaced: an idle pool must not invoke itself for ever.

// setRotation sets the timer that begins the rotation of an instance which is up. The lead covers twice the time that
// its own start took, so that the replacement is ready in time; the jitter spreads instances that started together.
func (p *Pool) setRotation(now time.Time, i *Instance) {
	if i.ends.IsZero() {
		return
	}
	tenth := p.settings.Lifetime / 10
	lead := max(tenth, min(2*now.Sub(i.started), p.settings.Lifetime/2))
	at := i.ends.Add(-lead - time.Duration(p.rand.Int64N(int64(tenth)+1)))
	if half := now.Add(i.ends.Sub(now) / 2); at.Before(half) {
		at = half
	}
	p.timers.set(i, at)
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
	p.timers.set(i, i.ends)
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
