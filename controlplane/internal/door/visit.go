package door

import (
	"container/list"
	"context"
	"net/netip"
	"time"
)

// A state is what a stranger is doing.
type state uint8

const (
	resting  state = iota // waits for its other end
	queueing              // waits for a turn
	inTurn
	ended
)

// A Visit is a stranger's time at the door, from its connection to its valid token or its end. It is for one goroutine.
type Visit struct {
	door    *Door
	from    netip.Addr
	giveWay func()
	since   time.Time
	ctx     context.Context // from Begin

	// Guarded by the door's mu.
	state    state
	gaveWay  bool
	admitted bool
	list     *list.List // silent, spoken or begun
	place    *list.Element
	line     *list.List // the line in which it queues
	inLine   *list.Element
	turn     chan struct{} // closed when the queueing ends
}

// Begin says that the stranger's first byte has come, and blocks until it has a turn. ctx bounds this and later waits. The error is
// ErrGaveWay or that of ctx.
func (v *Visit) Begin(ctx context.Context) error {
	d := v.door
	d.mu.Lock()
	v.ctx = ctx
	if v.state == ended {
		d.mu.Unlock()
		return ErrGaveWay
	}
	v.moveLocked(&d.spoken)
	a := d.addresses[v.from]
	d.queueLocked(v, &a.waiting)
	d.lineUpLocked(a)
	return v.await()
}

// Pause ends the stranger's turn, because it waits for its other end. It is harmless twice.
func (v *Visit) Pause() {
	d := v.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.state == inTurn {
		v.state = resting
		d.turns++
		d.grantLocked()
	}
}

// Resume blocks until a stranger that paused has a turn again. The errors are those of Begin.
func (v *Visit) Resume() error {
	d := v.door
	d.mu.Lock()
	if v.state == ended {
		d.mu.Unlock()
		return ErrGaveWay
	}
	d.queueLocked(v, &d.again)
	return v.await()
}

// await unlocks the door, and returns when v has a turn, or will never have one.
func (v *Visit) await() error {
	d := v.door
	d.grantLocked()
	turn := v.turn
	d.mu.Unlock()
	select {
	case <-turn:
	case <-v.ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch v.state {
	case inTurn:
		return nil
	case ended:
		return ErrGaveWay
	default:
		d.unqueueLocked(v, resting)
		return v.ctx.Err()
	}
}

// Admit ends the visit of a stranger that has shown a valid token. It fails with ErrGaveWay if the stranger had to go meanwhile.
func (v *Visit) Admit() error {
	d := v.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.state == ended {
		return ErrGaveWay
	}
	v.admitted = true
	d.endLocked(v)
	return nil
}

// Leave ends the visit. It is harmless twice, and after Admit.
func (v *Visit) Leave() {
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	v.door.endLocked(v)
}

// GaveWay tells whether the stranger had to go.
func (v *Visit) GaveWay() bool {
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	return v.gaveWay
}
