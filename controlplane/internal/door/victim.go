package door

import (
	"container/list"
	"time"
)

const (
	// roundTrip is longer than the first byte of a peer takes from anywhere. A stranger that is silent for longer goes first.
	roundTrip = 250 * time.Millisecond
	// look is how many of the oldest strangers are checked for whether their address has more than its share.
	look = 64
	// leastShare is how many strangers of one address are never too many: about as many as one instance dials in a burst.
	leastShare = 32
)

// victimLocked returns the stranger that must give way. It is the newcomer, or nil without one, if all others have a turn.
// Strangers that wait for their first turn go before those that have begun, so that the latter finish.
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

// oldestLocked returns the oldest stranger of a list that has no turn. It prefers one whose address has more than its share.
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
