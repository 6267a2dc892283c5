package pool

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
