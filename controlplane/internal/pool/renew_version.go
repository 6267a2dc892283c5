package pool

import (
	"slices"
	"time"
)

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
