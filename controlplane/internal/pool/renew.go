package pool

import (
	"slices"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A renewal replaces instances by fresh ones, which start before the old ones end: instances of one version by those of another, or
// all instances by others of the same version.
type renewal struct {
	*rollout.Rollout
	plan     rollout.Plan
	from, to Route
	incoming []string // versions that fresh instances run; nil: whatever was started since
	fleet    *scaler.Fleet
	began    time.Time
	n        int // instances wanted: as many as requests filled at once in the last minute
	least    int // the least n may be
	gone     int // old instances that fresh ones have replaced
	share    float64
	trusted  bool      // fresh instances have all their slots: see trust
	look     time.Time // when to look again what the new version does not answer; zero: there is no need
	listened time.Time // when that was last done for code that has answered somebody
	heard    time.Time // when an old instance last answered a request in time
	unheard  bool      // the last request on an old instance ended too late
	void     time.Time // when old instances did not answer either
	room     bool      // an old instance was drained to make room for a fresh one, which has not been started yet
	back     bool      // it undoes one that was given up
	version  string    // the version that made it begin, because an instance reported it; empty: something else did
}

// unhurried is how long after the beginning of a rollout the reserve of environments is not filled. The reserve is not urgent, and
// its starts would compete with those of instances that serve.
const unhurried = 3 * time.Minute

// Route says which version new instances run from now on. Instances of other versions are replaced by the plan. With force so are
// those whose version is not known. A version whose rollout was given up is not tried again before there was another one, unless
// force is set.
func (p *Pool) Route(now time.Time, to Route, plan rollout.Plan, force bool) *Effects {
	now = p.enter(now)
	switch {
	case p.closed != "", !force && to.pinned() && to == p.rejected:
		return &p.effects
	case !force && to == p.heading():
		p.rejected = Route{} // there was another route since, so the rejected one may be tried again
		return &p.effects
	case force && to == p.route:
		p.renew(now, to, plan, p.fleetFor(to, to.pinned()))
	case to.pinned() && to == p.route:
		p.recordEnd(rollout.Superseded)
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

// served is the version that all ready instances run, so that it can be started again. It is the zero Route if they run several, if
// that is not known, or if the version has no number.
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

// Renew replaces all instances that exist. changed says that the new ones run other code, although the version has the same name:
// then no frozen environment is used again. Renew does nothing while a rollout to another version is under way, because that
// replaces them all anyway.
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

// Unpin lets Lambda choose again which version new instances run. With denied, Lambda does not allow version numbers, and a rollout
// under way begins anew. Without, it is only not known what the qualifier points to, and a rollout under way goes on to its end
// first.
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

// Another says that another function is invoked from now on, or another qualifier of which it is not known what it points to. All
// instances are replaced, and no frozen environment is used again.
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

// AbortRollout gives up the rollout under way, and reports whether there was one.
func (p *Pool) AbortRollout(now time.Time) (*Effects, bool) {
	now = p.enter(now)
	if p.roll == nil || p.roll.back {
		return &p.effects, false
	}
	p.roll.Abort(rollout.ByOperator)
	p.scale(now)
	return &p.effects, true
}

// Vanished says that a version does not exist any more, for example because it was deleted after the qualifier had moved. New
// instances run what the rollout under way brings, or what the qualifier points to.
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

// heading is the route that all instances will have: that of the rollout, if one is under way.
func (p *Pool) heading() Route {
	if p.roll != nil {
		return p.roll.to
	}
	return p.route
}

// takeRoute sets the route without a rollout: all instances are taken to have it.
func (p *Pool) takeRoute(to Route) {
	if p.roll != nil {
		p.recordEnd(rollout.Superseded)
		p.endRoll(false)
	}
	if to.pinned() && p.route.pinned() && to.Version != p.route.Version {
		p.fleet = p.fleet.Renew()
		p.past = scaler.Outcomes{}
		p.guards.Breaker.Retry() // what made the other one's starts fail may be mended
	}
	p.seen = nil
	if !to.pinned() {
		p.see(p.route.Version)
		p.see(p.route.Extra)
	}
	p.route, p.rejected = to, Route{}
}

// allRun reports whether every instance runs a version of the route. One whose version is not known passes unless surely is set.
func (p *Pool) allRun(to Route, surely bool) bool {
	for i := range p.Instances() {
		if (surely || i.version != "") && to.share(i.version) == 0 {
			return false
		}
	}
	return true
}

// fleetFor is the fleet of the route's environments: the present one for the same version, otherwise a new one that knows only how
// long starts take.
func (p *Pool) fleetFor(to Route, same bool) *scaler.Fleet {
	if same || to.pinned() && to.Version == p.route.Version {
		return p.fleet
	}
	return p.fleet.Renew()
}

// renew begins a rollout, and tells the caller. One that is under way is superseded.
func (p *Pool) renew(now time.Time, to Route, plan rollout.Plan, fleet *scaler.Fleet) {
	if p.roll != nil {
		p.recordEnd(rollout.Superseded)
	}
	p.begin(now, to, plan, fleet)
	p.reportStep()
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
		r.least = 1 // the next request finds an instance or environment now, and should afterwards
	}
	r.Rollout = rollout.Begin(now, plan, r.share)
	p.roll = r
	p.rejected = Route{}
	for i := range p.Instances() {
		i.tests = tests{n: i.leases.n - i.streams}
		i.unanswered.before = i.unanswered.gone
		p.setFresh(i, slices.Contains(r.incoming, i.version))
	}
	r.trusted = !r.Unproven() || p.proven(now)
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

// index is the list from which the instance is leased. Fresh ones are leased first, so that old ones run empty, and so that a bad
// version is noticed before it serves everything.
func (p *Pool) index(i *Instance) *slotIndex {
	switch {
	case i.isLast():
		return &p.openSlow
	case i.fresh:
		return &p.openFresh
	case i.streams > 0 && !p.settings.Spread:
		return &p.openStreams
	}
	return &p.open
}

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
	if r == nil || p.awaits {
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

// complete makes the new route the one in force. What was tried goes if its share is less than one instance. What still serves and is not
// of the route, because it counted among the old ones that stay, is replaced now.
func (p *Pool) complete(now time.Time) {
	r := p.roll
	if spare := p.fresh[Ready] - r.Last(r.n); r.share < 1 && spare > 0 && p.count[Ready]-spare >= p.needed() {
		fresh := p.drainable(func(i *Instance) bool { return i.fresh })
		for _, i := range fresh[:min(spare, len(fresh))] {
			p.drain(now, i, Rollout)
		}
	}
	p.recordEnd("")
	p.route, p.fleet = r.to, r.fleet
	p.seen = nil
	p.endRoll(true)
	if p.route.pinned() && !r.back && p.outlived() {
		p.turnBack(now)
		p.advance(now)
	}
}

// outlived reports whether an instance serves, or will, whose version is not of the route in force.
func (p *Pool) outlived() bool {
	for i := range p.Instances() {
		if (i.state == Starting || i.state == Ready) && i.version != "" && !i.adopted && p.route.share(i.version) == 0 {
			return true
		}
	}
	return false
}

// endRoll forgets which instances were fresh. Their versions are expected from now on. If everything was replaced, an old instance
// that comes back later is stale.
func (p *Pool) endRoll(replaced bool) {
	p.see(p.roll.version) // although none of it may be left
	p.roll = nil
	if replaced {
		p.past = scaler.Outcomes{} // the code is another
	}
	for i := range p.Instances() {
		if i.fresh {
			p.see(i.version)
		}
		i.stale = replaced && !i.fresh && i.state != Ready && p.route.share(i.version) == 0
		p.setFresh(i, false)
	}
}

// giveUp ends a rollout that has failed. If the old version can still be started, it replaces the instances of the new one.
func (p *Pool) giveUp(now time.Time) {
	r := p.roll
	p.recordEnd(r.Cause())
	if !r.from.pinned() || r.from == r.to || r.back {
		p.fleet = r.fleet
		p.endRoll(false)
		return
	}
	p.turnBack(now)
	p.rejected = r.to
	p.drainUnborn(now)
	p.advance(now)
}

// drainUnborn drains what starts and does not run the route in force: nobody is to be served by what was given up.
func (p *Pool) drainUnborn(now time.Time) {
	for i := range p.Instances() {
		if i.state == Starting && !i.adopted && p.route.share(i.version) == 0 {
			p.drain(now, i, Rollout)
		}
	}
}

// turnBack replaces what is not of the route in force: what a rollout has brought that was given up, or has left.
func (p *Pool) turnBack(now time.Time) {
	brought := p.fresh[Starting] + p.fresh[Ready]
	p.begin(now, p.route, rollout.Plan{Known: true}, p.fleet)
	p.roll.back = true
	for i := range p.Instances() {
		p.setFresh(i, p.route.share(i.version) > 0)
	}
	if brought > 0 {
		p.reportStep()
	}
}

// maxSeen bounds the versions that are expected. An alias points to two at most, and others were given up.
const maxSeen = 4

// see records a version that is expected. If there are too many, it forgets the oldest.
func (p *Pool) see(version string) {
	if version == "" || slices.Contains(p.seen, version) {
		return
	}
	p.seen = append(p.seen[max(0, len(p.seen)-maxSeen+1):], version)
}

// compareVersion compares an instance's version with those expected. Where Lambda chooses the version, another one than before
// means that the qualifier points elsewhere now.
func (p *Pool) compareVersion(now time.Time, i *Instance) {
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

// noteVersion records the version of an invocation that has ended well, if its peer did not tell it.
func (p *Pool) noteVersion(now time.Time, i *Instance, end End) {
	if i.version == "" && end.Cause == "" {
		i.version = end.Version
		p.compareVersion(now, i)
	}
}

// blames reports whether a failed start is the fault of the function's code.
func blames(cause Cause) bool {
	switch cause {
	case scaler.InitFailed, scaler.Crashed, scaler.TimedOut, scaler.FunctionError, scaler.StartTimeout, scaler.TooShort:
		return true
	}
	return false
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
