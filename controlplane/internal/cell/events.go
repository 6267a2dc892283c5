package cell

import "time"

// An event is something that happens at a moment.
type event struct {
	at    time.Duration // since start
	order uint64        // of those at the same moment
	do    func()
}

func (e event) before(other event) bool {
	return e.at < other.at || e.at == other.at && e.order < other.order
}

// events are a heap: the next one is the first. A history has tens of thousands, and most of its time would go into container/heap,
// which boxes each.
type events []event

func (e *events) push(v event) {
	*e = append(*e, v)
	all := *e
	i := len(all) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !v.before(all[parent]) {
			break
		}
		all[i] = all[parent]
		i = parent
	}
	all[i] = v
}

func (e *events) pop() event {
	all := *e
	first, last := all[0], all[len(all)-1]
	all[len(all)-1] = event{}
	all = all[:len(all)-1]
	*e = all
	if len(all) > 0 {
		all.sink(last)
	}
	return first
}

// sink puts v where the first one was.
func (e events) sink(v event) {
	i := 0
	for child := 1; child < len(e); child = 2*i + 1 {
		if next := child + 1; next < len(e) && e[next].before(e[child]) {
			child = next
		}
		if !e[child].before(v) {
			break
		}
		e[i] = e[child]
		i = child
	}
	e[i] = v
}
