package pool

import (
	"slices"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A renewal replaces instances by fresh ones, the new before the old: those of a version by those of another, or all that
// exist by others of the same.
type renewal struct {
	*rollout.Rollout
	plan     rollout.Plan
	from, to Route
	incoming []string // versions that fresh instances run; nil: whatever was started since
	fleet    *scaler.Fleet
	began    time.Time
	n        int // instances to have: as many as requests filled at once in the last minute
	least    int // of n
	gone     int // old instances that fresh ones have taken the place of
	share    float64
	room     bool   // an old instance was drained to make room for a fresh one, which has not been started yet
	back     bool   // it undoes one that was given up
	version  string // that one instance reported, which made it begin; empty: something else did
}

// unhurried is how long after the begin of a rollout the reserve of environments is filled, at the earliest: it does not press,
// and the start of each costs as much as one that serves.
const unhurried = 3 * time.Minute

// Route says what version new instances are to run from now on. If others serve, they are replaced by the plan; forced, so are
// those of which nobody knows what they run. A version whose rollout was given up is not tried again before another one comes,
// unless it is forced.
func (p *Pool) Route(now time.Time, to Route, plan rollout.Plan, force bool) *Effects {
	now = p.enter(now)
	switch {
	case p.closed != "", !force && to.pinned() && to == p.rejected:
		return &p.effects
	case !force && to == p.heading():
		p.rejected = Route{} // another one came: should the rejected one come again, it is news
		return &p.effects
	case force && to == p.route:
		p.renew(now, to, plan, p.fleetFor(to, to.pinned()))
	case to.pinned() && to == p.route:
		p.note(rollout.Superseded)
		p.turnBack(now)
	case !to.pinned(), !p.route.pinned() && p.allRun(to, force), p.live == 0 && p.fleet.Frozen(now) == 0:
		p.takeRoute(to)
	default:
		if !p.route.pinned() {
			p.route = p.served()
		}
		p.renew(now, to, plan, p.fleetFor(to, false))
	}
	p.scale(now)
	return &p.effects
}

// served is the version that all instances run which are ready, so that it can be started again; the zero Route if they run
// several, if nobody knows, or if the version has no number of its own.
func (p *Pool) served() Route {
	version := ""
	for i := range p.Instances() {
		if i.state != Ready || i.adopted {
			continue
		}
		if _, err := strconv.ParseUint(i.version, 10, 64); err != nil || version != "" && version != i.version {
			return Route{}
		}
		version = i.version
	}
	return Route{Version: version}
}

// Renew replaces all instances that exist by others. The code is another one although its version has the same name, or the
// qualifier points elsewhere, if changed is set: then no environment of before serves again. A rollout to another version that
// is under way replaces them all as it is.
func (p *Pool) Renew(now time.Time, plan rollout.Plan, changed bool) *Effects {
	now = p.enter(now)
	if p.closed != "" || p.roll != nil && p.roll.to != p.roll.from && !p.roll.back {
		return &p.effects
	}
	rejected, to := p.rejected, p.heading()
	p.renew(now, to, plan, p.fleetFor(to, !changed))
	p.rejected = rejected
	p.scale(now)
	return &p.effects
}

// Unpin leaves it to Lambda again which version new instances run. With denied it lets nobody choose: then a rollout under way
// begins anew. Otherwise nobody knows what the qualifier points to now, and a rollout under way comes to its end before.
func (p *Pool) Unpin(now time.Time, denied bool) *Effects {
	now = p.enter(now)
	roll := p.roll
	if p.closed != "" || !p.heading().pinned() || roll != nil && !denied {
		return &p.effects
	}
	p.takeRoute(Route{})
	if roll != nil && !roll.back {
		p.renew(now, Route{}, roll.plan, p.fleet.Renew())
	}
	p.scale(now)
	return &p.effects
}

// Another says that what is invoked is another function from now on, or that the qualifier is another one and nobody knows what
// it leads to: all instances are replaced, and no environment of before serves again.
func (p *Pool) Another(now time.Time, plan rollout.Plan) *Effects {
	now = p.enter(now)
	if p.closed != "" {
		return &p.effects
	}
	p.takeRoute(Route{})
	p.seen = nil
	p.renew(now, Route{}, plan, p.fleet.Renew())
	p.guards.Breaker.Retry()
	p.scale(now)
	return &p.effects
}

// AbortRollout gives the rollout up that is under way, and reports whether there was one.
func (p *Pool) AbortRollout(now time.Time) (*Effects, bool) {
	now = p.enter(now)
	if p.roll == nil || p.roll.back {
		return &p.effects, false
	}
	p.roll.Abort(rollout.ByOperator)
	p.scale(now)
	return &p.effects, true
}

// Vanished says that a version exists no more, as an old one that was deleted after the qualifier had moved. Nothing is started
// as it: new instances run what the rollout under way brings, or what the qualifier points to.
func (p *Pool) Vanished(now time.Time, version string) *Effects {
	now = p.enter(now)
	switch roll := p.roll; {
	case p.closed != "" || p.route.share(version) == 0:
		return &p.effects
	case roll == nil || roll.back || roll.to == roll.from:
		p.takeRoute(Route{})
	default:
		p.route, roll.from = Route{}, Route{}
	}
	p.guards.Breaker.Retry()
	p.scale(now)
	return &p.effects
}

// heading is the route to which everything is on its way.
func (p *Pool) heading() Route {
	if p.roll != nil {
		return p.roll.to
	}
	return p.route
}

// takeRoute takes a route for the one that all instances have.
func (p *Pool) takeRoute(to Route) {
	if p.roll != nil {
		p.note(rollout.Superseded)
		p.endRoll(false)
	}
	if to.pinned() && p.route.pinned() && to.Version != p.route.Version {
		p.fleet = p.fleet.Renew()
		p.guards.Breaker.Retry() // what made the other one's starts fail may be mended
	}
	p.seen = nil
	if !to.pinned() {
		p.see(p.route.Version)
		p.see(p.route.Extra)
	}
	p.route, p.rejected = to, Route{}
}

// allRun reports whether no instance is known to run what the route does not, or surely does not.
func (p *Pool) allRun(to Route, surely bool) bool {
	for i := range p.Instances() {
		if (surely || i.version != "") && to.share(i.version) == 0 {
			return false
		}
	}
	return true
}

// fleetFor is what is known of the environments of the version: all, if it is the same, else only how long starts take.
func (p *Pool) fleetFor(to Route, same bool) *scaler.Fleet {
	if same || to.pinned() && to.Version == p.route.Version {
		return p.fleet
	}
	return p.fleet.Renew()
}

// renew begins a rollout, in place of another that may be under way, and tells the caller.
func (p *Pool) renew(now time.Time, to Route, plan rollout.Plan, fleet *scaler.Fleet) {
	if p.roll != nil {
		p.note(rollout.Superseded)
	}
	p.begin(now, to, plan, fleet)
	p.stepped()
}

func (p *Pool) begin(now time.Time, to Route, plan rollout.Plan, fleet *scaler.Fleet) {
	from := p.route
	r := &renewal{plan: plan, from: from, to: to, fleet: fleet, began: now, share: 1}
	if to != from {
		r.incoming = to.incoming(from)
		r.share = 0
		for _, v := range r.incoming {
			r.share += to.share(v)
		}
	}
	if p.count[Ready] > 0 || p.fleet.Frozen(now) > 0 {
		r.least = 1 // what is there for the next request is to be there afterwards
	}
	r.Rollout = rollout.Begin(now, plan, r.share)
	p.roll = r
	p.rejected = Route{}
	for i := range p.Instances() {
		p.setFresh(i, slices.Contains(r.incoming, i.version))
	}
	p.size(now)
}

// setFresh says whether an instance is one of those that the rollout brings.
func (p *Pool) setFresh(i *Instance, fresh bool) {
	if i.fresh == fresh || i.adopted {
		return
	}
	p.tally(i, -1)
	if i.state == Ready {
		p.index(i).remove(i.index, i.free())
	}
	i.fresh = fresh
	if i.state == Ready {
		p.index(i).add(i.index, i.free())
	}
	p.tally(i, 1)
}

// index is where the instance is listed for leases. Fresh ones are leased first, so that the old ones run empty, and that a
// new version is seen to serve before it serves all.
func (p *Pool) index(i *Instance) *slotIndex {
	switch {
	case i.isLast():
		return &p.openSlow
	case i.fresh:
		return &p.openFresh
	}
	return &p.open
}

// advance takes the rollout a step on, if it is time.
func (p *Pool) advance(now time.Time) {
	r := p.roll
	if r == nil || p.awaits {
		return
	}
	p.size(now)
	phase, share := r.Phase(), r.Share()
	r.Look(now, r.n, p.fresh[Ready], p.oldToGo())
	if changed := phase != r.Phase() || share != r.Share(); changed && !r.Phase().Over() && !r.back {
		p.stepped()
	}
	switch r.Phase() {
	case rollout.Aborted:
		p.giveUp(now)
	case rollout.Done:
		p.complete()
	default:
		p.startFresh(now)
		p.drainOld(now)
	}
}

// size says how many instances are to be had.
func (p *Pool) size(now time.Time) {
	r, s := p.roll, p.settings.Scaling
	r.n = min(max(p.peak.Peak(now), p.needed(), s.Min, r.least), s.Most())
}

// needed is how many instances what is in flight fills.
func (p *Pool) needed() int {
	c := p.concurrency()
	return (p.busy + p.foreign + c - 1) / c
}

// oldToGo is how many old instances must go yet, those on their way included.
func (p *Pool) oldToGo() int {
	old := p.count[Ready] - p.fresh[Ready] + p.startsInProgress() - p.fresh[Starting]
	return old - p.adopted[Ready] - p.oldToStay()
}

// oldToStay is how many old instances the new route leaves.
func (p *Pool) oldToStay() int {
	r := p.roll
	if r.share >= 1 {
		return 0
	}
	return max(0, r.n-r.Want(r.n))
}

// startFresh orders the instances that the step lacks, as far as the guards allow.
func (p *Pool) startFresh(now time.Time) {
	r := p.roll
	short := r.Want(r.n) - p.fresh[Ready] - p.fresh[Starting]
	if short <= 0 || !r.MayStart(now) || p.block.Reason != "" || p.unreachable || p.retiring {
		return
	}
	n, block := p.guards.Take(now, p.loadOf(p.freshOrder()), short)
	for range n {
		p.start(now, p.freshOrder())
	}
	p.block = block
	if n == 0 {
		p.makeRoom(now)
	}
}

// makeRoom drains an old instance where a guard leaves no place for a fresh one beside all old ones: otherwise the old code would
// serve for ever. One at a time, and only while nobody waits.
func (p *Pool) makeRoom(now time.Time) {
	switch p.block.Reason {
	case scaler.AtMax, scaler.NoPlace, scaler.Dollars, scaler.DollarsTotal, scaler.AtAccount:
	default:
		return
	}
	if p.roll.room || p.queue.n > 0 || p.leased || p.count[Draining]+p.count[Down]+p.startsInProgress() > 0 {
		return
	}
	if old := p.drainable(func(i *Instance) bool { return !i.fresh }); len(old) > 0 {
		p.drain(now, old[0], Rollout)
		p.roll.gone++
		p.roll.room = true
	}
}

func (p *Pool) freshOrder() order {
	return order{pin: p.pick(p.roll.to), fresh: true, fleet: p.roll.fleet}
}

// drainOld drains as many old instances as fresh ones have come, and in the end all.
func (p *Pool) drainOld(now time.Time) {
	r := p.roll
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

// rank is lower for versions that the new route has no place for.
func (r *renewal) rank(i *Instance) int {
	if r.to.share(i.version) == 0 {
		return 0
	}
	return 1
}

// complete makes the new route the one in force.
func (p *Pool) complete() {
	r := p.roll
	p.note("")
	p.route, p.fleet = r.to, r.fleet
	p.seen = nil
	p.endRoll(true)
}

// endRoll forgets which instances were fresh. The versions that they run are expected from now on. What is old and comes
// back is stale if all was replaced.
func (p *Pool) endRoll(replaced bool) {
	p.see(p.roll.version) // although none of it may be left
	p.roll = nil
	for i := range p.Instances() {
		if i.fresh {
			p.see(i.version)
		}
		i.stale = replaced && !i.fresh && i.state != Ready && p.route.share(i.version) == 0
		p.setFresh(i, false)
	}
}

// giveUp ends a rollout that has failed. Where the old version can still be started, what runs the new one is replaced by it.
func (p *Pool) giveUp(now time.Time) {
	r := p.roll
	p.note(r.Cause())
	if !r.from.pinned() || r.from == r.to || r.back {
		p.fleet = r.fleet
		p.endRoll(false)
		return
	}
	p.turnBack(now)
	p.rejected = r.to
	p.advance(now)
}

// turnBack replaces what the rollout has brought by what was there before.
func (p *Pool) turnBack(now time.Time) {
	brought := p.fresh[Starting] + p.fresh[Ready]
	p.begin(now, p.route, rollout.Plan{Known: true}, p.fleet)
	p.roll.back = true
	for i := range p.Instances() {
		p.setFresh(i, p.route.share(i.version) > 0)
	}
	if brought > 0 {
		p.stepped()
	}
}

// maxSeen bounds the versions that are expected: an alias points to two at most, and others were given up.
const maxSeen = 4

// see takes note of a version that is expected, and forgets the one that was noted first if they are too many.
func (p *Pool) see(version string) {
	if version == "" || slices.Contains(p.seen, version) {
		return
	}
	p.seen = append(p.seen[max(0, len(p.seen)-maxSeen+1):], version)
}

// notice compares what an instance runs with what is expected. Where Lambda chooses the version, another one than before
// means that the qualifier points elsewhere now.
func (p *Pool) notice(now time.Time, i *Instance) {
	if i.pin != "" || i.adopted || i.version == "" || p.route.pinned() {
		return
	}
	news := len(p.seen) > 0 && !slices.Contains(p.seen, i.version) && i.started.After(p.lastRoll.Began)
	if p.roll == nil && news {
		p.renew(now, p.route, p.settings.Rollout, p.fleet.Renew())
		p.roll.version = i.version
	}
	if p.roll != nil && p.roll.version == i.version && !i.fresh {
		p.setFresh(i, true)
		i.fleet.Over(now, i.start)
		i.fleet, i.start = p.roll.fleet, nil
	}
	if p.roll == nil || i.fresh {
		p.see(i.version)
	}
}

// ran takes in which version an invocation ran that has ended well, where its peer did not say so.
func (p *Pool) ran(now time.Time, i *Instance, end End) {
	if i.version == "" && end.Cause == "" {
		i.version = end.Version
		p.notice(now, i)
	}
}

// blames reports whether a failed start is the doing of the code.
func blames(cause Cause) bool {
	switch cause {
	case scaler.InitFailed, scaler.Crashed, scaler.TimedOut, scaler.FunctionError, scaler.StartTimeout, scaler.TooShort:
		return true
	}
	return false
}

// choose is what a start that the policy wants runs. During a rollout it is the old version while its environments are warm,
// or while nobody knows whether the new one comes up.
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
	case !r.Tried(), !r.MayStart(now), r.fleet.Spare(now) == 0 && p.fleet.Spare(now) > 0:
		return old
	}
	return p.freshOrder()
}
