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
	answered time.Time // when an old instance last answered a request in time
	overdue  bool      // the last request on an old instance ended too late
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
