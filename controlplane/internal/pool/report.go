package pool

import "time"

// Leases and slots are two ledgers: a lease ends with its request, a slot when the app's handler returns. A client that
// leaves an app which works on ends the first alone. Reports of the peers close the gap: what they count beyond the leases
// is foreign, and a foreign slot is not leased.

// Report says how many requests the instance's peer counted, at most delay ago.
func (p *Pool) Report(now time.Time, i *Instance, inFlight int, delay time.Duration) *Effects {
	now = p.enter(now)
	if !i.watched() {
		return &p.effects
	}
	i.watch.Report(now, inFlight, delay)
	first := i.unheard()
	if p.returned > 0 {
		i.watch.Suspect(now) // leases may have ended since the report was true
	}
	if p.recount(now, i) {
		p.serve(now)
		p.scale(now)
	} else {
		p.advance(now) // a rollout judges what was answered
	}
	if i.heard = true; first && i.state == Draining {
		p.finishIdle(i)
	}
	return &p.effects
}

// watched reports whether it matters which slots of the instance are foreign.
func (i *Instance) watched() bool { return i.state == Ready || i.state == Draining && !i.finished }

// review looks at what time alone has shown.
func (p *Pool) review(now time.Time, i *Instance) {
	p.reviews.unset(&i.review)
	if p.recount(now, i) {
		p.serve(now)
	}
}

// recount brings up to date how many slots of a watched instance are foreign, and reports whether that has changed.
func (p *Pool) recount(now time.Time, i *Instance) bool {
	n, full := i.watch.Slots(now), i.watch.Full(now)
	changed := n != i.foreign || full != i.full
	if changed {
		p.setForeign(i, n, full)
	}
	if i.state == Draining {
		p.finishIdle(i)
	}
	if i.watched() {
		p.expectReview(now, i)
	}
	return changed
}

func (p *Pool) setForeign(i *Instance, n int, full bool) {
	free := i.free()
	if i.state == Ready {
		p.stopIdling(i)
		p.foreign += n - i.foreign
	}
	if i.foreign > 0 && n == 0 {
		i.answered = p.now // the app has just come to an end of what nobody waits for
	}
	i.foreign, i.full = n, full
	p.countLegacy(i)
	if i.state == Ready {
		p.relist(i, free)
		p.startIdling(i)
	}
}

// expectReview sets the timer for when more slots may have become foreign.
func (p *Pool) expectReview(now time.Time, i *Instance) {
	if at := i.watch.Next(now); at.IsZero() {
		p.reviews.unset(&i.review)
	} else {
		p.reviews.set(&i.review, at)
	}
}

// watchLeases keeps the instance's record of leases.
func (p *Pool) watchLeases(i *Instance) {
	i.watch.Leases(p.now, i.leases.n-i.refused)
	if i.review.at == 0 && i.watched() {
		p.expectReview(p.now, i)
	}
}

// beginWatch follows an instance that comes up: its leases are known.
func (p *Pool) beginWatch(i *Instance) { i.watch.Begin(p.now, i.leases.n-i.refused, !i.shared) }

// endWatch follows one whose slots do not matter any more.
func (p *Pool) endWatch(i *Instance) {
	p.reviews.unset(&i.review)
	i.foreign, i.full = 0, false
}
