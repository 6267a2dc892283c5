package door

import (
	"container/list"
	"time"
)

func (d *Door) queueLocked(v *Visit, line *list.List) {
	v.state, v.turn = queueing, make(chan struct{})
	v.line, v.inLine = line, line.PushBack(v)
}

// unqueueLocked ends v's wait for a turn, whether it got one or not.
func (d *Door) unqueueLocked(v *Visit, now state) {
	v.line.Remove(v.inLine)
	v.state = now
	close(v.turn)
}

// lineUpLocked puts the address in the line for first turns, if strangers of it wait.
func (d *Door) lineUpLocked(a *address) {
	if !a.linedUp && a.waiting.Len() > 0 {
		a.linedUp = true
		d.first = append(d.first, a)
	}
}

// grantLocked gives free turns to strangers that wait. Those that have begun come first, so that they finish.
func (d *Door) grantLocked() {
	for d.turns > 0 {
		v := d.nextLocked()
		if v == nil {
			return
		}
		d.turns--
		if v.list != &d.begun {
			v.moveLocked(&d.begun)
			d.addresses[v.from].begun++
		}
		d.unqueueLocked(v, inTurn)
	}
}

// nextLocked returns the stranger whose turn it is; nil if none waits that may have one. Of those that have not begun the newest
// comes first: if more wait than can be served, the oldest have probably given up.
func (d *Door) nextLocked() *Visit {
	if e := d.again.Front(); e != nil {
		return e.Value.(*Visit)
	}
	for now := time.Now(); len(d.first) > 0; {
		a := d.first[0]
		d.first, a.linedUp = d.first[1:], false
		newest := a.waiting.Back()
		if newest == nil || a.begun >= d.limits.Begun { // lined up again when one of these ends
			continue
		}
		if a.attempts.Tokens(now) < 1 {
			d.awaitRefillLocked(a, now)
			continue
		}
		if a.waiting.Len() > 1 {
			d.lineUpLocked(a)
		}
		return newest.Value.(*Visit)
	}
	return nil
}

// awaitRefillLocked lines the address up when it has an attempt again.
func (d *Door) awaitRefillLocked(a *address, now time.Time) {
	if a.refill != nil {
		a.refill.Stop()
	}
	a.refill = time.AfterFunc(a.attempts.Next(now).Sub(now), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lineUpLocked(a)
		d.grantLocked()
	})
}
