package pool

import "time"

// A lease ends with its request, but a slot is free only when the app's handler returns. If a client leaves and the app works on,
// only the lease has ended. Reports of the peers show that: what they count beyond the leases is foreign, and a foreign slot is not
// leased.

// Report says how many requests the instance's peer counted at a moment that is at most delay ago.
func (p *Pool) Report(now time.Time, i *Instance, inFlight int, delay time.Duration) *Effects {
	now = p.enter(now)
	if !i.watched() {
		return &p.effects
	}
	i.watch.Report(now, inFlight, delay)
	first := i.unreported()
	if p.returned > 0 {
		i.watch.Suspect(now) // leases may have ended since the report was true
	}
	if p.recount(now, i) {
		p.serve(now)
		p.scale(now)
	} else {
		p.proceed(now) // a rollout judges the answers that came with the report
	}
	p.outcome(i)
	if i.reportedIn = true; first && i.state == Draining {
		p.finishIdle(i)
	}
	return &p.effects
}

// watched reports whether foreign slots of the instance matter.
func (i *Instance) watched() bool { return i.state == Ready || i.state == Draining && !i.finished }

// review counts an instance's foreign slots again because time has passed.
func (p *Pool) review(now time.Time, i *Instance) {
	p.reviews.unset(&i.review)
	if p.recount(now, i) {
		p.serve(now)
	}
}

// recount updates how many slots of a watched instance are foreign, and reports whether that has changed.
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
		i.answered = p.now // the app has just finished work that no client waited for
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

// watchLeases tells the instance's Foreign how many leases are out.
func (p *Pool) watchLeases(i *Instance) {
	i.watch.Leases(p.now, i.leases.n-i.refused)
	if i.review.at == 0 && i.watched() {
		p.expectReview(p.now, i)
	}
}

// beginWatch begins to compare reports of an instance with its leases.
func (p *Pool) beginWatch(i *Instance) { i.watch.Begin(p.now, i.leases.n-i.refused, !i.shared) }

// endWatch is for an instance whose foreign slots do not matter any more.
func (p *Pool) endWatch(i *Instance) {
	p.reviews.unset(&i.review)
	i.foreign, i.full = 0, false
}
