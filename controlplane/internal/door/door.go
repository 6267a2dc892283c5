// Package door shares a port's entrance among strangers: connections that have shown no valid token yet. They share no
// limit with those that have.
//
// A stranger that waits for its other end takes a place, which is a descriptor and little else. When all places are taken
// an old silent one goes, first one whose address has more than its share. Only in a turn may a stranger compute, that is
// shake hands or have its request read, and few have a turn at once, so that other work of the process waits behind few.
// Each address has a number of attempts. A stranger that had a turn and shows no valid token uses one up when it goes; they
// come back slowly, and while an address has none, nobody of it begins. So any number of good peers may come from behind one
// address, slow ones too, if no more than a fixed number are in the middle of it at once.
package door

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what strangers may take. All are positive.
type Limits struct {
	Places   int     // strangers at once
	Turns    int     // strangers that compute at once
	Begun    int     // strangers of one address that have had a turn, at once
	Attempts int     // strangers of one address that had a turn and went without a valid token
	Refill   float64 // attempts that come back to an address each second
}

// ErrGaveWay says that a stranger had to go because there were too many, or because the door was shut.
var ErrGaveWay = errors.New("gave way to others")

// A Door is safe for concurrent use.
type Door struct {
	limits Limits

	// mu guards the fields below and all visits and addresses. Nothing outside is called while it is held.
	mu        sync.Mutex
	shut      bool
	silent    list.List // of *Visit whose first byte has not come, oldest first
	spoken    list.List // of *Visit that wait for their first turn, oldest first
	begun     list.List // of *Visit that have had one, oldest first
	addresses map[netip.Addr]*address
	present   int // addresses with a stranger
	swept     time.Time
	turns     int        // free
	again     list.List  // of *Visit that wait for a turn which is not their first, oldest first
	first     []*address // some of whose strangers wait for their first turn: served one after the other
}

// New returns an open door.
func New(l Limits) *Door {
	return &Door{limits: l, turns: l.Turns, addresses: make(map[netip.Addr]*address), swept: time.Now()}
}

// Standing is how many strangers there are.
func (d *Door) Standing() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.standingLocked()
}

// Crowd is the part of the places that is taken, 0 to 1.
func (d *Door) Crowd() float64 { return float64(d.Standing()) / float64(d.limits.Places) }

func (d *Door) standingLocked() int { return d.silent.Len() + d.spoken.Len() + d.begun.Len() }

// Enter takes in a stranger, which is silent at first, and does not block. If there is no room, another one gives way.
// Leave or Admit must follow. giveWay has to close the connection. It is called at most once, from any goroutine, perhaps
// from within Enter, and perhaps just after Leave.
func (d *Door) Enter(from netip.Addr, giveWay func()) *Visit {
	v := &Visit{door: d, from: keyOf(from), giveWay: giveWay, since: time.Now()}
	d.mu.Lock()
	v.moveLocked(&d.silent)
	d.arriveLocked(v)
	var gone []*Visit
	if d.shut {
		gone = d.dismissLocked(gone, v)
	}
	for d.standingLocked() > d.limits.Places {
		gone = d.dismissLocked(gone, d.victimLocked(v))
	}
	d.mu.Unlock()
	dismiss(gone)
	return v
}

// Relieve makes up to n strangers give way, and returns how many did: for when descriptors run out.
func (d *Door) Relieve(n int) int {
	d.mu.Lock()
	var gone []*Visit
	for len(gone) < n && d.standingLocked() > 0 {
		v := d.victimLocked(nil)
		if v == nil {
			break
		}
		gone = d.dismissLocked(gone, v)
	}
	d.mu.Unlock()
	dismiss(gone)
	return len(gone)
}

// Shut makes all strangers give way, those to come included.
func (d *Door) Shut() {
	d.mu.Lock()
	d.shut = true
	var gone []*Visit
	for _, l := range []*list.List{&d.silent, &d.spoken, &d.begun} {
		for l.Len() > 0 {
			gone = d.dismissLocked(gone, l.Front().Value.(*Visit))
		}
	}
	d.mu.Unlock()
	dismiss(gone)
}

func (d *Door) dismissLocked(gone []*Visit, v *Visit) []*Visit {
	v.gaveWay = true
	d.endLocked(v)
	return append(gone, v)
}

func dismiss(gone []*Visit) {
	for _, v := range gone {
		v.giveWay()
	}
}
