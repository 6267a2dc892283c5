package pool

import "time"

// Worn says that the instance's environment will end with it, because its memory will not last or it has served as much as it may.
// The instance is leased last, and replaced like one that nears the end of its time. Its environment is not counted on any more.
func (p *Pool) Worn(now time.Time, i *Instance) *Effects {
	now = p.enter(now)
	if i.worn || i.state != Ready {
		i.worn = true
		return &p.effects
	}
	p.index(i).remove(i.index, i.free())
	i.worn = true
	p.index(i).add(i.index, i.free())
	if p.idle.has(i.index) && p.count[Ready] > p.settings.Scaling.Min {
		p.drain(now, i, Rotation)
	} else {
		p.beginRotation(now, i)
	}
	p.scale(now)
	return &p.effects
}
