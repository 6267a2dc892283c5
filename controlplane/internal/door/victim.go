package door

import (
	"container/list"
	"time"
)

const (
	// roundTrip is longer than a peer's first byte takes from anywhere: who is silent for longer is the first to go.
	roundTrip = 250 * time.Millisecond
	// look is how many of the oldest are asked whether their address has more than its share.
	look = 64
	// leastShare is how many strangers of one address are never too many: about what one instance dials in a burst.
	leastShare = 32
)

// victimLocked returns the stranger that is to give way, not the newcomer. Nil: each of the others has its turn. Those
// that have begun go after those that wait to: what was begun ends.
func (d *Door) victimLocked(newcomer *Visit) *Visit {
	if front := d.silent.Front(); front != nil && time.Since(front.Value.(*Visit).since) > roundTrip {
		return d.oldestLocked(&d.silent, newcomer)
	}
	for _, l := range []*list.List{&d.spoken, &d.begun, &d.silent} {
		if v := d.oldestLocked(l, newcomer); v != nil {
			return v
		}
	}
	return newcomer
}

// oldestLocked prefers addresses with more than their share. It interrupts nobody's turn.
func (d *Door) oldestLocked(l *list.List, newcomer *Visit) *Visit {
	share := max(leastShare, d.limits.Places/max(d.present, 1))
	var oldest *Visit
	for e, n := l.Front(), 0; e != nil && n < look+d.limits.Turns; e, n = e.Next(), n+1 {
		v := e.Value.(*Visit)
		if v == newcomer || v.state == inTurn {
			continue
		}
		if d.addresses[v.from].standing > share {
			return v
		}
		if oldest == nil {
			oldest = v
		}
	}
	return oldest
}
