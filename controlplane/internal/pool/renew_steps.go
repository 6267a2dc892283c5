package pool

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// proceed advances the rollout. What it has left when it ends may be more than is needed, and nothing else may happen for long.
func (p *Pool) proceed(now time.Time) {
	rolls := p.roll != nil
	if p.advance(now); rolls && p.roll == nil {
		p.scale(now)
	}
}

// advance takes the rollout a step on, if it is time.
func (p *Pool) advance(now time.Time) {
	r := p.roll
	if r == nil || p.onHold {
		return
	}
	p.size(now)
	p.listen(now)
	p.trust(now)
	phase, share := r.Phase(), r.Share()
	r.Look(now, r.n, p.fresh[Ready], p.oldToGo())
	if changed := phase != r.Phase() || share != r.Share(); changed && !r.Phase().Over() && !r.back {
		p.reportStep()
	}
	switch r.Phase() {
	case rollout.Aborted:
		p.giveUp(now)
	case rollout.Done:
		p.complete(now)
	default:
		p.startFresh(now)
		p.drainOld(now)
	}
}

// size updates how many instances the rollout wants.
func (p *Pool) size(now time.Time) {
	r, s := p.roll, p.settings.Scaling
	r.n = min(max(p.peak.Peak(now), p.needed(), s.Min, r.least), s.Most())
}

// needed is how many instances the requests in flight fill.
func (p *Pool) needed() int {
	c := p.concurrency()
	return (p.busy + p.foreign + c - 1) / c
}

// oldToGo is how many old instances must still go, starting ones included.
func (p *Pool) oldToGo() int {
	old := p.count[Ready] - p.fresh[Ready] + p.startsInProgress() - p.fresh[Starting]
	return old - p.adopted[Ready] - p.oldToStay()
}

// oldToStay is how many old instances the new route keeps.
func (p *Pool) oldToStay() int {
	r := p.roll
	if r.share >= 1 {
		return 0
	}
	return max(0, r.n-min(r.Want(r.n), r.Last(r.n)))
}

// startFresh starts the fresh instances that the step still lacks, as far as the guards allow.
func (p *Pool) startFresh(now time.Time) {
	r := p.roll
	short := r.Want(r.n) - p.fresh[Ready] - p.fresh[Starting]
	if short <= 0 || !r.MayStart(now) || p.block.Reason != "" || p.unreachable || p.retiring {
		return
	}
	n, block := p.guards.Take(now, p.loadOf(p.freshOrder()), short)
	for range n {
		p.start(now, p.freshOrder(), scaler.ForRollout)
	}
	p.block = block
	if n == 0 {
		p.makeRoom(now)
	}
}

// makeRoom drains an old instance if a guard allows no fresh one beside the old ones, or else the old code would serve for ever. It
// drains one at a time, and only while no request waits.
func (p *Pool) makeRoom(now time.Time) {
	switch p.block.Reason {
	case scaler.AtMax, scaler.NoPlace, scaler.Dollars, scaler.DollarsTotal, scaler.AtAccount:
	default:
		return
	}
	if p.roll.room && p.block.Reason != scaler.AtMax { // of those one less need not be room for one more
		return
	}
	if p.queue.n > 0 || p.leased || p.count[Draining]+p.count[Down]+p.startsInProgress() > 0 {
		return
	}
	if old := p.drainable(func(i *Instance) bool { return !i.fresh }); len(old) > 0 {
		p.drain(now, old[0], Rollout)
		p.roll.gone++
		p.roll.room = true
	}
}

func (p *Pool) freshOrder() order {
	r := p.roll
	o := order{fresh: true, fleet: r.fleet}
	if len(r.incoming) == 1 {
		o.pin = r.incoming[0]
	} else {
		o.pin = p.pick(r.to)
	}
	return o
}

// drainOld drains as many old instances as fresh ones have come, and in the end all. None goes for code that is unproven, because
// it may be needed again.
func (p *Pool) drainOld(now time.Time) {
	r := p.roll
	if p.unproven() {
		return
	}
	spare := p.fresh[Ready] - r.gone
	if r.Phase() == rollout.Finishing {
		spare = p.count[Ready]
	}
	spare = min(spare, p.count[Ready]-p.fresh[Ready]-p.adopted[Ready]-p.oldToStay(), p.count[Ready]-p.needed())
	if spare <= 0 || p.queue.n > 0 || p.leased {
		return
	}
	old := p.drainable(func(i *Instance) bool { return !i.fresh })
	slices.SortStableFunc(old, func(a, b *Instance) int { return r.rank(a) - r.rank(b) })
	for _, i := range old[:min(spare, len(old))] {
		p.drain(now, i, Rollout)
		r.gone++
	}
}

// rank is lower for versions that the new route does not have: they drain first.
func (r *renewal) rank(i *Instance) int {
	if r.to.share(i.version) == 0 {
		return 0
	}
	return 1
}

// trust gives fresh instances all their slots, once the code has answered somebody, its trial is over, or the old code cannot serve the
// others.
func (p *Pool) trust(now time.Time) {
	r := p.roll
	if r.trusted || r.Unproven() && p.oldServes(now) && !p.proven(now) {
		return
	}
	r.trusted = true
	p.resizeReady()
	p.serve(now)
}

// oldServes reports whether the old code serves, will soon, or can be started in a frozen environment. What ends will be one in a
// moment.
func (p *Pool) oldServes(now time.Time) bool {
	serves := p.count[Ready] - p.fresh[Ready] - p.adopted[Ready] + p.startsInProgress() - p.fresh[Starting]
	ending := p.count[Draining] - p.fresh[Draining] + p.count[Down] - p.fresh[Down]
	return serves > 0 || p.roll.from.pinned() && p.fleet.Frozen(now)+ending > 0
}

// choose says what the next start that the policy wants runs. During a rollout it is the old version while that has frozen
// environments, while it is not known whether the new version comes up, and where the new one has its share already.
func (p *Pool) choose(now time.Time) order {
	r := p.roll
	if r == nil {
		return order{pin: p.pick(p.route), fleet: p.fleet}
	}
	old := order{pin: p.pick(r.from), fleet: p.fleet}
	switch {
	case !r.from.pinned(), r.from == r.to:
		return p.freshOrder()
	case r.room && r.MayStart(now):
		return p.freshOrder()
	case !r.Tried(), !r.MayStart(now), p.hasShare(), r.fleet.Spare(now) == 0 && p.fleet.Spare(now) > 0:
		return old
	}
	return p.freshOrder()
}

// hasShare reports whether as many fresh instances are there as the step wants, counting one more instance than there are.
func (p *Pool) hasShare() bool {
	live := p.count[Ready] - p.adopted[Ready] + p.startsInProgress()
	return p.fresh[Ready]+p.fresh[Starting] >= p.roll.Want(max(p.roll.n, live+1))
}
