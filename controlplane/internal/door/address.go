package door

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
)

// sweepEvery is how often addresses are forgotten of which nothing need be remembered.
const sweepEvery = 10 * time.Second

// An address is what is known of one network address.
type address struct {
	standing int           // strangers
	begun    int           // strangers that have had a turn
	attempts bucket.Bucket // strangers that have begun may overdraw it
	waiting  list.List     // of *Visit that wait for their first turn, oldest first
	linedUp  bool          // the address is in the door's first
	refill   *time.Timer   // runs while strangers wait for an attempt
}

// keyOf maps an IPv6 address to its /64 network, because one host may have all of it, and both forms of an IPv4 address to one.
func keyOf(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	network, _ := a.WithZone("").Prefix(64) // fails for no IPv6 address
	return network.Addr()
}

func (d *Door) arriveLocked(v *Visit) {
	if now := time.Now(); now.Sub(d.swept) > sweepEvery {
		d.swept = now
		d.sweepLocked(now)
	}
	a := d.addresses[v.from]
	if a == nil {
		a = &address{attempts: bucket.New(d.limits.Refill, d.limits.Attempts)}
		d.addresses[v.from] = a
	}
	if a.standing == 0 {
		d.present++
	}
	a.standing++
}

// endLocked ends a visit, unless it has ended.
func (d *Door) endLocked(v *Visit) {
	switch v.state {
	case ended:
		return
	case queueing:
		d.unqueueLocked(v, ended)
	case inTurn:
		d.turns++
	}
	v.state = ended
	v.list.Remove(v.place)
	a := d.addresses[v.from]
	if v.list == &d.begun {
		a.begun--
		if !v.admitted {
			a.attempts.Take(time.Now(), 1)
		}
		d.lineUpLocked(a)
	}
	if a.standing--; a.standing == 0 {
		d.present--
	}
	d.grantLocked()
}

// moveLocked moves a stranger to the end of another of the door's lists.
func (v *Visit) moveLocked(to *list.List) {
	if v.list != nil {
		v.list.Remove(v.place)
	}
	v.list, v.place = to, to.PushBack(v)
}

// sweepLocked forgets addresses that have no stranger and all their attempts.
func (d *Door) sweepLocked(now time.Time) {
	for key, a := range d.addresses {
		if a.standing == 0 && a.attempts.Tokens(now) >= d.limits.Attempts {
			delete(d.addresses, key)
		}
	}
}
