// Package door limits strangers at a port: connections that have not shown a valid token yet. They share no limit with connections
// that have.
//
// A stranger takes a place, which costs a file descriptor and little else. When all places are taken an old silent stranger must
// go, preferably one whose address has more than its share. A stranger may use CPU, for a handshake or for reading its request,
// only while it has a turn. Few have a turn at once, so that other work of the process waits behind few. Each address has a
// number of attempts, which come back slowly. A stranger that had a turn and shows no valid token uses one up when it goes. While
// an address has none left, none of its strangers begins. So any number of good peers may come from one address, slow ones too,
// if no more than a fixed number of them are in the middle of it at once.
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
	Turns    int     // strangers that have a turn at once
	Begun    int     // strangers of one address at once that have had a turn
	Attempts int     // strangers of one address that had a turn and showed no valid token
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
	begun     list.List // of *Visit that have had a turn, oldest first
	addresses map[netip.Addr]*address
	present   int // addresses with a stranger
	swept     time.Time
	turns     int        // free
	again     list.List  // of *Visit that wait for another turn, oldest first
	first     []*address // addresses with strangers that wait for their first turn: served round robin
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

// Busy tells whether a stranger has spoken that was neither admitted nor sent away yet.
func (d *Door) Busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.spoken.Len()+d.begun.Len() > 0
}

// Crowd is the part of the places that is taken, 0 to 1.
func (d *Door) Crowd() float64 { return float64(d.Standing()) / float64(d.limits.Places) }

func (d *Door) standingLocked() int { return d.silent.Len() + d.spoken.Len() + d.begun.Len() }

// Enter gives a stranger a place. It does not block: if there is no room, another stranger gives way. Leave or Admit must follow.
// giveWay must close the connection. It is called at most once, from any goroutine, perhaps from within Enter, and perhaps just
// after Leave.
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

// Relieve makes up to n strangers give way, and returns how many did. It is for when file descriptors run out.
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

// Shut makes all strangers give way, also those that come later.
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
