package pool

// A stream holds its instance for as long as it lasts. Where streams are spread over instances, all of those go on when
// short requests become fewer. So a stream goes to an instance that has streams already, where one has a free slot.
// Short requests fill such instances first, since they go on anyway, but leave one slot of each to the next stream while another
// instance has a free one.

// nextBesideStreams is the index of the instance to lease from, of those that are neither fresh nor leased last; -1: there is none.
func (p *Pool) nextBesideStreams(r *Request) int {
	if r.Deadly {
		if index := p.open.emptiest(); index >= 0 {
			return index
		}
		return p.openStreams.emptiest()
	}
	if !r.Stream {
		if index := p.openStreams.nextLeavingOne(); index >= 0 {
			return index
		}
		if index := p.open.next(); index >= 0 {
			return index
		}
	}
	if index := p.openStreams.next(); index >= 0 {
		return index
	}
	return p.open.next()
}

// carries takes note that an instance is about to have one stream more, or less.
func (p *Pool) carries(i *Instance, r *Request, by int) {
	if !r.Stream {
		return
	}
	if i.state != Ready {
		i.streams += by
		return
	}
	p.index(i).remove(i.index, i.free())
	i.streams += by
	p.index(i).add(i.index, i.free())
}

// lists are where ready instances with a free slot are listed, each in one.
func (p *Pool) lists() []*slotIndex {
	return []*slotIndex{&p.open, &p.openFresh, &p.openSlow, &p.openStreams}
}

// unlist makes the lists empty.
func (p *Pool) unlist() {
	for _, list := range p.lists() {
		*list = newSlotIndex(p.settings.Concurrency, p.settings.Spread)
	}
}
